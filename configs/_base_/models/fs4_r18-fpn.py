# FS4 on ResNet-18 with the FPN decoder: context-aware embedding, and a CAM head
# that learns global labels.
_base_ = './picie_r18-fpn.py'
model = dict(
    type='FS4',
    encoder=dict(type='ContextPixelEncoder', channels=128),
    global_head=dict(
        type='ModifiedCAMHead', in_channels=128, num_clusters=50))
