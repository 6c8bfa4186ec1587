"""S4GAN: 20 labelled images, the others without labels."""
_base_ = ('../supervised/'
          'supervised_mbv2-d16-deeplabv3plus_1xb8-4k_camvid-120x160-20l.py')

# ---- frequently modified ----
batch_size = 4  # of labelled images, and as many unlabelled ones
score_threshold = 0.6  # the student trusts its own labels above this score
self_training_weight = 1.0
feature_matching_weight = 0.1
# The paper's discriminator has 64 channels; images are smaller here.
discriminator = dict(type='ImageDiscriminator', channels=32)

model = dict(
    _delete_=True,
    type='S4GAN',
    segmentor=_base_.model,
    discriminator=discriminator,
    score_threshold=score_threshold,
    self_training_weight=self_training_weight,
    feature_matching_weight=feature_matching_weight,
    # Labelled images and views are augmented alike, in the pipeline: the
    # discriminator could tell them apart by borders, hue or blur otherwise.
    augmentation=dict(
        scale=(1.0, 1.0), jitter_prob=0.0, blur_prob=0.0, flip_prob=0.0))
train_dataloader = dict(
    batch_size=batch_size,
    dataset=dict(
        _delete_=True,
        type='SemiSegDataset',
        labeled=_base_.labeled_dataset,
        unlabeled=dict(
            _base_.unlabeled_dataset,
            pipeline=[
                transform for transform in _base_.train_pipeline
                if transform.type != 'LoadAnnotations'])))
# The schedule of the learning rate holds for both.
optim_wrapper = dict(
    _delete_=True,
    constructor='JointOptimWrapperConstructor',
    type='OptimWrapper',
    student=dict(optimizer=_base_.optim_wrapper.optimizer),
    discriminator=dict(
        optimizer=dict(type='Adam', lr=1e-4, betas=(0.9, 0.99))))
custom_hooks = [*_base_.custom_hooks, dict(type='MeanTeacherHook')]
