# The schedule of the proxy task on Cityscapes: 0.1, /5 at 10k, then /10 each 10k.
max_iters = 50000
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=1e-4))
param_scheduler = [
    dict(type='MultiStepLR', milestones=[10000], gamma=0.2, by_epoch=False),
    dict(type='MultiStepLR', milestones=[20000, 30000, 40000], gamma=0.1, by_epoch=False),
]
train_cfg = dict(
    type='IterBasedTrainLoop', max_iters=max_iters, val_interval=5000)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
