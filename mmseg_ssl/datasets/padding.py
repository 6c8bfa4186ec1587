"""Which pixels of a batch are no image."""
import torch
from mmseg.utils import OptSampleList, SampleList
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


def refuse_padding(data_samples: OptSampleList) -> None:
    """Refuse padded images, for methods that learn from every pixel.

    Filled pixels would be clustered like others, and would tell a patch of a
    puzzle its place.

    Raises:
        ValueError: Names the first such image, its size and the padding.
    """
    for sample in data_samples or ():
        left, right, top, bottom = sample.get('padding_size', [0] * 4)
        if left or right or top or bottom:
            height, width = sample.img_shape[:2]
            raise ValueError(
                f'image {sample.get("img_path")} is {width}x{height} '
                '(width x height) and was padded by '
                f'{left + right}x{top + bottom} pixels to the size of '
                'data_preprocessor.size: it is smaller than the crop. Take a '
                'smaller crop_size, or resize images in the pipeline to at '
                'least that size')
