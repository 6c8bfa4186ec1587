from mmseg_ssl.methods.reco.embedding_head import EmbeddingHead
from mmseg_ssl.methods.reco.feature_bank_contrast_loss import (
    FeatureBankContrastLoss,
)
from mmseg_ssl.methods.reco.partial_labels import PartialLabelReCo
from mmseg_ssl.methods.reco.reco import ReCo
from mmseg_ssl.methods.reco.regional_contrast_loss import RegionalContrastLoss
from mmseg_ssl.methods.reco.sync_regional_contrast_loss import (
    SyncRegionalContrastLoss,
)

__all__ = [
    'EmbeddingHead', 'FeatureBankContrastLoss', 'PartialLabelReCo', 'ReCo',
    'RegionalContrastLoss', 'SyncRegionalContrastLoss'
]
