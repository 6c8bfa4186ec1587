"""PiCIE+H: a second, larger number of clusters to learn from."""
_base_ = './picie_r18-fpn_1xb16-10e_msrc21-112x112.py'
over_clusters = 80
model = dict(over_clusters=over_clusters)
