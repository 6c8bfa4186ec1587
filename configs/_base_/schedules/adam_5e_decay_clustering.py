# As adam_10e_decay_clustering.py, but 5 epochs.
_base_ = './adam_10e_decay_clustering.py'
max_epochs = 5
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = _base_.param_scheduler
param_scheduler[0].begin = max_epochs * 3 // 4
param_scheduler[0].end = max_epochs
