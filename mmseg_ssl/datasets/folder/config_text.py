"""Texts of the configs for own images.

``$name`` is replaced; all else is the config as the user will read it.
"""
from string import Template

# Start of every base: what the folders hold.
FOLDERS = """\
# $title
# Written by tools/dataset_tools/prepare_folder.py. Put changes into a config
# that inherits one of those beside it.
data_root = $data_root
image_dir = $image_dir
"""

LABELED = Template(FOLDERS + """\
mask_dir = $mask_dir
metainfo = dict(
    classes=$classes,
    palette=$palette)
num_classes = $num_classes
labeled_list = "{{ fileDirname }}/labeled.txt"
unlabeled_list = "{{ fileDirname }}/unlabeled.txt"
val_list = "{{ fileDirname }}/val.txt"
image_scale = $image_scale  # bounds of the longer and the shorter side
crop_size = $crop_size  # height, width
load_labels = $mask_loader

train_pipeline = [
    dict(type='LoadImageFromFile'),
    load_labels,
    dict(
        type='RandomResize',
        scale=image_scale,
        ratio_range=(0.75, 1.5),
        keep_ratio=True),
    dict(type='RandomCrop', crop_size=crop_size),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
    dict(type='PackSegInputs'),
]
# Stronger augmentation follows the teacher's prediction, on the device.
unlabeled_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=image_scale, keep_ratio=True),
    dict(type='RandomCrop', crop_size=crop_size),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=image_scale, keep_ratio=True),
    # Behind Resize: predictions are compared at the size of the masks.
    load_labels,
    dict(type='PackSegInputs'),
]

labeled_dataset = dict(
    type='FolderDataset',
    data_root=data_root,
    ann_file=labeled_list,
    metainfo=metainfo,
    data_prefix=dict(img_path=image_dir, seg_map_path=mask_dir),
    pipeline=train_pipeline)
unlabeled_dataset = dict(
    type='UnlabeledDataset',
    data_root=data_root,
    ann_file=unlabeled_list,
    data_prefix=dict(img_path=image_dir),
    pipeline=unlabeled_pipeline)

train_dataloader = dict(
    batch_size=8,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=labeled_dataset)
val_dataloader = dict(
    batch_size=1,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='FolderDataset',
        data_root=data_root,
        ann_file=val_list,
        metainfo=metainfo,
        data_prefix=dict(img_path=image_dir, seg_map_path=mask_dir),
        pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator
""")

SUPERVISED = Template("""\
\"\"\"The baseline: $num_labeled labelled images, nothing else.\"\"\"
_base_ = [
    $model,
    './$base',
    $schedule,
    $runtime,
]

# ---- frequently modified ----
batch_size = $batch_size
lr = $lr
max_iters = $max_iters
val_interval = $val_interval

model = dict(
    data_preprocessor=dict(size=_base_.crop_size),
    decode_head=dict(num_classes=_base_.num_classes))
train_dataloader = dict(batch_size=batch_size)
optim_wrapper = dict(optimizer=dict(lr=lr))
param_scheduler = [
    dict(
        type='PolyLR',
        power=0.9,
        eta_min=0,
        begin=0,
        end=max_iters,
        by_epoch=False)
]
train_cfg = dict(max_iters=max_iters, val_interval=val_interval)
default_hooks = dict(
    logger=dict(interval=min(50, val_interval)),
    checkpoint=dict(interval=val_interval))
""")

RECO = Template("""\
\"\"\"ReCo + ClassMix: $num_labeled images with labels, $rest without.\"\"\"
_base_ = './$supervised'

# ---- frequently modified ----
batch_size = $batch_size  # of labelled images, and as many unlabelled ones
mixing = 'classmix'  # 'cutout', 'cutmix', 'classmix', or None
strong_threshold = 0.97  # a pseudo-label is confident above it
weak_threshold = 0.7  # an unlabelled pixel joins the contrast from here on
scale = (1.0, 1.5)  # zoom of the views the student learns from
blur_sigma = $blur_sigma  # in pixels; smaller than the paper's, as images are
loss_contrast = dict(
    type='RegionalContrastLoss', num_queries=128, num_keys=256)
embed_channels = 128

segmentor = _base_.model
segmentor.decode_head = dict(
    type='EmbeddingHead',
    head=segmentor.decode_head,
    tap='fusion',  # as in the paper
    embed_channels=embed_channels,
    hidden_channels=embed_channels)
model = dict(
    _delete_=True,
    type='ReCo',
    segmentor=segmentor,
    mixing=mixing,
    strong_threshold=strong_threshold,
    weak_threshold=weak_threshold,
    loss_contrast=loss_contrast,
    augmentation=dict(scale=scale, blur_sigma=blur_sigma))
train_dataloader = dict(
    batch_size=batch_size,
    dataset=dict(
        _delete_=True,
        type='SemiSegDataset',
        labeled=_base_.labeled_dataset,
        unlabeled=_base_.unlabeled_dataset))
custom_hooks = [*_base_.custom_hooks, dict(type='MeanTeacherHook')]
""")

UNLABELED = Template(FOLDERS + """\
image_list = "{{ fileDirname }}/unlabeled.txt"
puzzle_list = "{{ fileDirname }}/puzzles.txt"
puzzle_val_list = "{{ fileDirname }}/puzzles_val.txt"
""")

# What PiCIE and FS4 share: above their pipelines, and below their models.
CLUSTERED = """\
_base_ = [
    $model,
    './$base',
    $schedule,
    $runtime,
]

# ---- frequently modified ----
num_clusters = $num_clusters
max_epochs = $max_epochs
lr = $lr
blur_sigma = $blur_sigma  # in pixels; smaller than the paper's, as images are
view_size = $view_size  # height, width of what the encoder sees
image_scale = $image_scale  # bounds of the longer and the shorter side
crop_size = $crop_size  # height, width of what views are made of
"""

CLUSTERED_DATA = """\
# What other tools predict with; a training without labels validates nothing.
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=$view_scale, keep_ratio=True),
    dict(type='PackSegInputs'),
]
train_dataloader = dict(
    batch_size=$batch_size,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='ResumableSampler', shuffle=True),
    dataset=dict(
        type='UnlabeledDataset',
        data_root=_base_.data_root,
        ann_file=_base_.image_list,
        metainfo=dict(
            classes=$classes,
            palette=$palette),
        data_prefix=dict(img_path=_base_.image_dir),
        pipeline=train_pipeline))
optim_wrapper = dict(optimizer=dict(lr=lr))
train_cfg = dict(max_epochs=max_epochs)
val_cfg = val_dataloader = val_evaluator = None
test_cfg = test_dataloader = test_evaluator = None
default_hooks = dict(checkpoint=dict(save_best=None))
"""

PICIE = Template("""\
\"\"\"PiCIE: $num_clusters clusters of $num_images images without labels.\"\"\"
""" + CLUSTERED + """\

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=image_scale, keep_ratio=True),
    dict(type='CenterCrop', crop_size=crop_size[::-1]),
    dict(type='PackSegInputs'),
]
model = dict(
    data_preprocessor=dict(size=crop_size),
    view_size=view_size,
    num_clusters=num_clusters,
    photometry=dict(blur_sigma=blur_sigma))
custom_hooks = [*_base_.custom_hooks, dict(type='OfflineClusteringHook')]
""" + CLUSTERED_DATA)

ISS = Template("""\
\"\"\"MoCo v2 on $num_images images without labels: FS4 starts from it.\"\"\"
_base_ = [
    $model,
    './$base',
    $runtime,
]

# ---- frequently modified ----
view_size = $side  # of the square crops
# The batch divides the queue, which is shorter than the list of images.
batch_size = $batch_size
queue_len = $queue_len
group_size = $group_size  # images of a batch with statistics of their own
max_epochs = $max_epochs
lr = $lr
blur_sigma = $blur_sigma  # in pixels; smaller than the paper's, as images are

view_pipeline = [
    dict(
        type='RandomResizedCrop',
        scale=view_size,
        crop_ratio_range=(0.2, 1.0),
        backend='pillow'),
    dict(
        type='RandomApply',
        transforms=[
            dict(
                type='ColorJitter',
                brightness=0.4,
                contrast=0.4,
                saturation=0.4,
                hue=0.1)
        ],
        prob=0.8),
    dict(
        type='RandomGrayscale',
        prob=0.2,
        keep_channels=True,
        channel_weights=(0.114, 0.587, 0.2989)),
    dict(
        type='GaussianBlur',
        magnitude_range=blur_sigma,
        magnitude_std='inf',
        prob=0.5),
    dict(type='RandomFlip', prob=0.5),
]
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='MultiView', num_views=2, transforms=[view_pipeline]),
    dict(type='PackInputs'),
]
model = dict(
    queue_len=queue_len,
    backbone=dict(norm_cfg=dict(group_size=group_size)))
train_dataloader = dict(
    batch_size=batch_size,
    num_workers=2,
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='CustomDataset',
        data_root=_base_.data_root,
        ann_file=_base_.image_list,
        data_prefix=_base_.image_dir,
        with_label=False,
        pipeline=train_pipeline))
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=lr, momentum=0.9, weight_decay=1e-4))
param_scheduler = [
    dict(
        type='CosineAnnealingLR',
        T_max=max_epochs,
        by_epoch=True,
        begin=0,
        end=max_epochs,
        convert_to_iter_based=True)
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=max_epochs)
""")

FS4 = Template("""\
\"\"\"FS4: $num_clusters clusters of $num_images images without labels.

Before it: $iss.py, and
tools/dataset_tools/make_pyramid_labels.py with this config.
\"\"\"
""" + CLUSTERED + """\
iss_checkpoint = 'work_dirs/$iss/epoch_$iss_epochs.pth'
global_clusters = $global_clusters  # of images and their parts
pyramid_dir = f'work_dirs/fs4-pyramid-mocov2-{global_clusters}_$name'

init_cfg = dict(
    type='Pretrained', checkpoint=iss_checkpoint, prefix='backbone.')
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='RandomPyramidView',
        label_file=f'{pyramid_dir}/labels.npz',
        views='selected'),
    dict(type='Resize', scale=image_scale, keep_ratio=True),
    dict(type='CenterCrop', crop_size=crop_size[::-1]),
    dict(
        type='PackSegInputs',
        meta_keys=('img_path', 'ori_shape', 'img_shape', 'pad_shape',
                   'scale_factor', 'pyramid_view', 'global_label')),
]
model = dict(
    data_preprocessor=dict(size=crop_size),
    view_size=view_size,
    num_clusters=num_clusters,
    photometry=dict(blur_sigma=blur_sigma),
    encoder=dict(backbone=dict(init_cfg=init_cfg)),
    global_head=dict(num_clusters=global_clusters))
custom_hooks = [
    *_base_.custom_hooks,
    dict(type='PyramidLabelsHook'),
    dict(type='OfflineClusteringHook'),
]
""" + CLUSTERED_DATA + """\

# what tools/dataset_tools/make_pyramid_labels.py does
pyramid_labels = dict(
    network=dict(
        type='PooledFeatures',
        backbone=dict(
            type='ResNet',
            depth=18,
            norm_cfg=dict(type='BN'),
            init_cfg=init_cfg)),
    dataset=dict(
        type='UnlabeledDataset',
        data_root=_base_.data_root,
        ann_file=_base_.image_list,
        data_prefix=dict(img_path=_base_.image_dir),
        pipeline=[]),
    out_dir=pyramid_dir,
    num_clusters=global_clusters,
    keep=0.4,
    resize=$side * 8 // 7,
    crop=$side)
""")

JIGSAW = Template("""\
\"\"\"Puzzles of 3x3 patches of $num_images images without labels.\"\"\"
_base_ = [
    $model,
    './$base',
    $schedule,
    $runtime,
]

# ---- frequently modified ----
grid = 3  # odd; a patch must hold a cell, 32 pixels
image_scale = $image_scale  # bounds of the longer and the shorter side
crop_size = $crop_size  # height, width

train_pipeline = [
    dict(type='LoadImageFromFile'),
    # Never smaller than the crop: borders would tell the place of a patch.
    dict(
        type='RandomResize',
        scale=image_scale,
        ratio_range=(0.9, 1.5),
        keep_ratio=True),
    dict(type='RandomCrop', crop_size=crop_size),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=image_scale, keep_ratio=True),
    dict(type='CenterCrop', crop_size=crop_size[::-1]),  # one per image
    dict(type='PackSegInputs'),
]
model = dict(grid=grid, data_preprocessor=dict(size=crop_size))
train_dataloader = dict(
    batch_size=16,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        type='UnlabeledDataset',
        data_root=_base_.data_root,
        ann_file=_base_.puzzle_list,
        data_prefix=dict(img_path=_base_.image_dir),
        pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=16,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='UnlabeledDataset',
        data_root=_base_.data_root,
        ann_file=_base_.puzzle_val_list,
        data_prefix=dict(img_path=_base_.image_dir),
        pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(type='PatchAccuracy')
test_evaluator = val_evaluator
default_hooks = dict(
    checkpoint=dict(save_best='movable_acc', rule='greater'))
""")
