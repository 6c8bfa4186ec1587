# 10 epochs of Adam, pixels clustered before each of them. The learning rate falls
# to a tenth over the last quarter, so that the last score is not a lucky one.
_base_ = './adam_10e_clustering.py'
max_epochs = 10
train_cfg = dict(val_interval=5)
param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=1.0,
        end_factor=0.1,
        by_epoch=True,
        begin=max_epochs * 3 // 4,
        end=max_epochs)
]
