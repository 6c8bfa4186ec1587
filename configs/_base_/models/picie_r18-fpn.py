# PiCIE on ResNet-18 with the FPN decoder (128 channels), trained from scratch.
# Set data_preprocessor.size, view_size and num_clusters on top of it.
norm_cfg = dict(type='SyncBN', requires_grad=True)
model = dict(
    type='PiCIE',
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255),
    encoder=dict(
        type='PixelEncoder',
        backbone=dict(
            type='ResNet',
            depth=18,
            out_indices=(0, 1, 2, 3),
            norm_cfg=norm_cfg),
        neck=dict(
            type='BilinearFPN',
            in_channels=[64, 128, 256, 512],
            out_channels=128)),
    channels=128)
# tools/test.py --crf; probabilities from cosines, which differ by tenths
crf_model = dict(type='DenseCRFSegmentor', temperature=0.1)
