from mmseg_ssl.apis.ensemble import SegmentorEnsemble

__all__ = ['SegmentorEnsemble']
