# 10 epochs of Adam, pixels clustered before each of them.
optim_wrapper = dict(
    type='OptimWrapper', optimizer=dict(type='Adam', lr=1e-3, fused=True))
train_cfg = dict(type='ResumableEpochLoop', max_epochs=10, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
