"""ReCo + ClassMix of the quick start: 10 painted scenes with labels."""
_base_ = ('../supervised/'
          'supervised_mbv2-d16-deeplabv3plus_1xb8-1k_scenes-10l.py')

# ---- frequently modified ----
batch_size = 4  # of labelled images, and as many unlabelled ones
mixing = 'classmix'  # 'cutout', 'cutmix', 'classmix', or None
scale = (1.0, 1.5)  # zoom of the views the student learns from
blur_sigma = (0.1, 0.4)  # in pixels; as much smaller than the paper's as images
loss_contrast = dict(
    type='RegionalContrastLoss', num_queries=128, num_keys=256)
embed_channels = 128

segmentor = _base_.model
segmentor.decode_head = dict(
    type='EmbeddingHead',
    head=segmentor.decode_head,
    tap='fusion',  # as in the paper
    embed_channels=embed_channels,
    hidden_channels=embed_channels)
model = dict(
    _delete_=True,
    type='ReCo',
    segmentor=segmentor,
    mixing=mixing,
    loss_contrast=loss_contrast,
    augmentation=dict(scale=scale, blur_sigma=blur_sigma))
train_dataloader = dict(
    batch_size=batch_size,
    dataset=dict(
        _delete_=True,
        type='SemiSegDataset',
        labeled=_base_.labeled_dataset,
        unlabeled=_base_.unlabeled_dataset))
custom_hooks = [*_base_.custom_hooks, dict(type='MeanTeacherHook')]
