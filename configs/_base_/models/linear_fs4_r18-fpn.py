# A 1x1 convolution that learns classes on FS4's encoder, which is frozen. The
# encoder is that of fs4_r18-fpn_small.py.
_base_ = './linear_picie_r18-fpn.py'
model = dict(
    backbone=dict(
        encoder=dict(
            type='ContextPixelEncoder',
            channels=128,
            context_stride=8,
            out_stride=4,
            context=dict(theta_alpha=3.5, theta_gamma=2.0))))
