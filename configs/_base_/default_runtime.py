# What every config shares: scope, logging, checkpoints, seed.
default_scope = 'mmseg'
# Registers our classes whatever tool reads the config.
custom_imports = dict(imports=['mmseg_ssl'], allow_failed_imports=False)

env_cfg = dict(
    cudnn_benchmark=True,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),  # on CPUs tools/*.py start gloo instead
)
randomness = dict(seed=0)

default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50, log_metric_by_epoch=False),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(
        type='CheckpointHook',
        by_epoch=False,
        interval=500,
        max_keep_ckpts=2,
        save_best='mIoU'),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    visualization=dict(type='SegVisualizationHook', draw=False, interval=50))

custom_hooks = [
    # a step on a CPU is faster so; nothing happens with several processes
    dict(type='ChannelsLastHook'),
    # --resume goes on with the random numbers of the uninterrupted run
    dict(type='RandomSeedHook'),
    # bad data, classes or checkpoints end the run before it starts
    dict(type='PreflightHook'),
    # peak memory in the log, also without a GPU
    dict(type='ProcessMemoryHook'),
]

vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(
    type='SegLocalVisualizer', vis_backends=vis_backends, name='visualizer')
log_processor = dict(by_epoch=False)
log_level = 'INFO'
load_from = None
resume = False

tta_model = dict(type='SegTTAModel')
