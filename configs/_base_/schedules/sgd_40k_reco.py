# The schedule of ReCo: 40,000 iterations on a backbone from ImageNet.
max_iters = 40000
optim_wrapper = dict(
    type='OptimWrapper',
    # Nesterov's momentum (nesterov=True) in the released code.
    optimizer=dict(type='SGD', lr=2.5e-3, momentum=0.9, weight_decay=5e-4))
param_scheduler = [
    dict(
        type='PolyLR',
        power=0.9,
        eta_min=0,
        begin=0,
        end=max_iters,
        by_epoch=False)
]
train_cfg = dict(
    type='IterBasedTrainLoop', max_iters=max_iters, val_interval=2000)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
