"""FS4+H: a second, larger number of pixel clusters."""
_base_ = './fs4_r18-fpn_1xb16-10e_msrc21-112x112.py'
over_clusters = 80
model = dict(over_clusters=over_clusters)
