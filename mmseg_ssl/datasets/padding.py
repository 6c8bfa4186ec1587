"""Which pixels of a batch are no image."""
import torch
from mmseg.utils import SampleList
from torch import Tensor


def padding_mask(data_samples: SampleList, images: Tensor) -> Tensor:
    """Mark the pixels that the data preprocessor added.

    Args:
        data_samples (list[SegDataSample]): Samples of the images; padded ones
            carry ``padding_size`` (left, right, top, bottom).
        images (Tensor): Shape (B, 3, H, W).

    Returns:
        Tensor: True where padded, shape (B, H, W), bool.
    """
    height, width = images.shape[2:]
    mask = torch.ones(
        (len(images), height, width), dtype=torch.bool, device=images.device)
    for padded, sample in zip(mask, data_samples, strict=True):
        left, right, top, bottom = sample.get('padding_size', [0] * 4)
        padded[top:height - bottom, left:width - right] = False
    return mask
