"""PiCIE+H at the paper's size. Not run yet."""
_base_ = './picie_r18-fpn_1xb128-10e_coco-stuff27-320x320.py'
over_clusters = 100
model = dict(over_clusters=over_clusters)
