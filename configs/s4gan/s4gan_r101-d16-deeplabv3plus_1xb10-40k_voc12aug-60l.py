"""S4GAN: 60 labelled images of PASCAL VOC."""
_base_ = ('../supervised/supervised_r101-d16-deeplabv3plus_'
          '1xb20-40k_voc12aug-60l.py')

# ---- frequently modified ----
batch_size = 10  # of labelled images, and as many unlabelled ones
score_threshold = 0.6  # the student trusts its own labels above this score
self_training_weight = 1.0
feature_matching_weight = 0.1
discriminator = dict(type='ImageDiscriminator')
scale = (0.5, 1.5)  # zoom of the views the student learns from

model = dict(
    _delete_=True,
    type='S4GAN',
    segmentor=_base_.model,
    discriminator=discriminator,
    score_threshold=score_threshold,
    self_training_weight=self_training_weight,
    feature_matching_weight=feature_matching_weight,
    augmentation=dict(scale=scale))
train_dataloader = dict(
    batch_size=batch_size,
    dataset=dict(
        _delete_=True,
        type='SemiSegDataset',
        labeled=_base_.labeled_dataset,
        unlabeled=_base_.unlabeled_dataset))
# The schedule of the learning rate holds for both.
optim_wrapper = dict(
    _delete_=True,
    constructor='JointOptimWrapperConstructor',
    type='OptimWrapper',
    student=dict(optimizer=_base_.optim_wrapper.optimizer),
    discriminator=dict(
        optimizer=dict(type='Adam', lr=1e-4, betas=(0.9, 0.99))))
custom_hooks = [*_base_.custom_hooks, dict(type='MeanTeacherHook')]
