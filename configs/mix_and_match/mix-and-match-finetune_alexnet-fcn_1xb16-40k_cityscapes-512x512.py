"""Fine-tuning of AlexNet on Cityscapes in batches of 16 x 4 images."""
_base_ = [
    '../_base_/models/mix_and_match/fcn_alexnet.py',
    '../_base_/datasets/mix_and_match/cityscapes_512x512.py',
    '../_base_/schedules/sgd_40k_mix_and_match.py',
    '../_base_/default_runtime.py',
]
# An iteration of the schedule is an update of the weights.
accumulate = 4
model = dict(
    data_preprocessor=dict(size=_base_.crop_size),
    decode_head=dict(num_classes=_base_.num_classes))
train_dataloader = dict(batch_size=16)
optim_wrapper = dict(accumulative_counts=accumulate)
param_scheduler = [
    dict(
        type='MultiStepLR',
        milestones=[24000 * accumulate, 36000 * accumulate],
        gamma=0.1,
        by_epoch=False),
]
train_cfg = dict(max_iters=40000 * accumulate, val_interval=4000 * accumulate)
default_hooks = dict(checkpoint=dict(interval=4000 * accumulate))
