_base_ = '../supervised/supervised_r18-d16-deeplabv3plus_1xb8-2k_camvid-180x240-20l.py'

# ---- frequently modified ----
batch_size = 4  # of labelled images, and as many unlabelled ones
mixing = 'classmix'  # 'cutout', 'cutmix', 'classmix', or None
loss_contrast = dict(
    type='RegionalContrastLoss', num_queries=256, num_keys=512)
embed_channels = 256

segmentor = _base_.model
segmentor.decode_head = dict(
    type='EmbeddingHead',
    head=segmentor.decode_head,
    tap='fusion',  # as in the paper
    embed_channels=embed_channels)
model = dict(
    _delete_=True,
    type='ReCo',
    segmentor=segmentor,
    mixing=mixing,
    loss_contrast=loss_contrast,
    augmentation=dict(scale=(1.0, 1.5)))
train_dataloader = dict(
    batch_size=batch_size,
    dataset=dict(
        _delete_=True,
        type='SemiSegDataset',
        labeled=_base_.labeled_dataset,
        unlabeled=_base_.unlabeled_dataset))
custom_hooks = [*_base_.custom_hooks, dict(type='MeanTeacherHook')]
