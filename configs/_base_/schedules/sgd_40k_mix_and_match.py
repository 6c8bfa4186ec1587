# The paper's 40,000 iterations of fine-tuning. The released settings go on to
# 42,000 with a third division at 40,000.
_base_ = './sgd_8k_mix_and_match.py'
max_iters = 40000
param_scheduler = [
    dict(type='MultiStepLR', milestones=[24000, 36000], gamma=0.1, by_epoch=False),
]
train_cfg = dict(max_iters=max_iters, val_interval=4000)
