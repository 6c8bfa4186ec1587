"""Puzzles as one of 100 permutations, tile by tile, sized for two cores."""
_base_ = './jigsaw-3x3_mbv2-w75_1xb16-2k_camvid-180x240.py'
num_permutations = 100

model = dict(
    type='JigsawPermutation',
    num_permutations=num_permutations,
    gap=10,  # tiles of 50 pixels in cells of 60
    tile_norm=True,
    grey_prob=0.3,
    # With batch norm, unlike the paper, as the training is short.
    backbone=dict(
        _delete_=True,
        type='CaffeAlexNet',
        stem_stride=2,
        out_layers=('pool5', ),
        norm_cfg=dict(type='SyncBN', requires_grad=True),
        lrn=False),
    head=dict(
        _delete_=True,
        type='PermutationHead',
        in_channels=256,
        map_size=2,
        tile_channels=256,
        hidden_channels=1024))
train_dataloader = dict(batch_size=32)
val_evaluator = dict(_delete_=True, type='PermutationAccuracy')
test_evaluator = val_evaluator
default_hooks = dict(checkpoint=dict(save_best='permutation_acc'))
