"""One of 1,000 permutations of tiles of 64 pixels: the baseline of Table 4."""
_base_ = './jigsaw-3x3_alexnet_1xb64-50k_voc12test.py'
image_scale = (2048, 255)  # bounds of the longer and the shorter side
crop_size = (255, 255)

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=image_scale, keep_ratio=True),
    dict(type='RandomCrop', crop_size=crop_size),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=image_scale, keep_ratio=True),
    dict(type='CenterCrop', crop_size=crop_size),
    dict(type='PackSegInputs'),
]
model = dict(
    type='JigsawPermutation',
    num_permutations=1000,
    gap=21,  # tiles of 64 pixels in cells of 85
    tile_norm=True,
    grey_prob=0.3,
    data_preprocessor=dict(size=crop_size),
    backbone=dict(stem_stride=2, out_layers=('pool5', )),
    head=dict(_delete_=True, type='PermutationHead', in_channels=256))
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(_delete_=True, type='PermutationAccuracy')
test_evaluator = val_evaluator
default_hooks = dict(checkpoint=dict(save_best='permutation_acc'))
