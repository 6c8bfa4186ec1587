"""Mean teacher + ClassMix: a few labelled pixels in every image.

``partial_labels`` of the dataset base says which; see there.
"""
_base_ = ('../supervised/'
          'supervised_mbv2-d16-deeplabv3plus_1xb8-1k_camvid-120x160-partial.py')

# ---- frequently modified ----
batch_size = 4  # of images as labelled ones, and as many as unlabelled ones
mixing = 'classmix'  # 'cutout', 'cutmix', 'classmix', or None
strong_threshold = 0.97  # a pseudo-label is confident above it
scale = (1.0, 1.5)  # zoom of the views the student learns from
blur_sigma = (0.1, 0.5)  # in pixels; a third of the paper's, as are the images

model = dict(
    _delete_=True,
    type='PartialLabelMeanTeacher',
    segmentor=_base_.model,
    mixing=mixing,
    strong_threshold=strong_threshold,
    augmentation=dict(scale=scale, blur_sigma=blur_sigma))
train_dataloader = dict(
    batch_size=batch_size,
    dataset=dict(
        _delete_=True,
        type='SemiSegDataset',
        labeled=_base_.labeled_dataset,
        unlabeled=_base_.unlabeled_dataset))
custom_hooks = [*_base_.custom_hooks, dict(type='MeanTeacherHook')]
