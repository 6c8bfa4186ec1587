# FS4 for images of 112 to 160 pixels: the map of the context-aware embedding is
# at 1/8 of them, with narrower kernels, and the features at 1/4, as PiCIE's are.
_base_ = './fs4_r18-fpn.py'
model = dict(
    encoder=dict(
        context_stride=8,
        out_stride=4,
        context=dict(theta_alpha=3.5, theta_gamma=2.0)))
