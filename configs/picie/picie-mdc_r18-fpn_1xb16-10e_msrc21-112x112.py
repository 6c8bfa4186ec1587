"""MDC, the single-view baseline of PiCIE, from scratch."""
_base_ = './picie_r18-fpn_1xb16-10e_msrc21-112x112.py'
model = dict(type='MDC')
