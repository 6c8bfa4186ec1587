"""Two views of an image: other colours, and a crop that features follow."""
from typing import NamedTuple

import kornia.augmentation as K
import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Geometry(NamedTuple):
    """A crop and a mirror of each sample, for images and features alike."""

    theta: Tensor
    """Affine maps from the result to its source, in [-1, 1], (B, 2, 3)."""

    def apply(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """Transform maps of any resolution.

        Half precision is left for float32, also under autocast: bfloat16
        rounds places by up to 1/256 of half the image.

        Args:
            x (Tensor): Shape (B, C, h, w).
            size (tuple[int, int]): Height and width of the result.

        Returns:
            Tensor: Shape ``(B, C, *size)``.
        """
        if x.dtype in (torch.float16, torch.bfloat16):
            x = x.float()
        with torch.autocast(x.device.type, enabled=False):
            grid = F.affine_grid(self.theta.to(x),
                                 [len(x), x.size(1), *size],
                                 align_corners=False)
            return F.grid_sample(
                x, grid, padding_mode='border', align_corners=False)


class RandomGeometry(nn.Module):
    """Random resized crop and mirror (PiCIE's equivariance transform).

    Args:
        scale (tuple[float, float]): Range of the share of the image's area
            that stays. Defaults to (0.5, 1.0).
        ratio (tuple[float, float]): Range of the crop's aspect ratio relative
            to that of the image, drawn on a logarithmic scale, as far as such
            a crop fits into the image. Defaults to (3/4, 4/3).
        flip_prob (float): Probability of the mirror. Defaults to 0.5.
    """

    def __init__(self,
                 scale: tuple[float, float] = (0.5, 1.0),
                 ratio: tuple[float, float] = (3 / 4, 4 / 3),
                 flip_prob: float = 0.5) -> None:
        super().__init__()
        if not 0 < scale[0] <= scale[1] <= 1:
            raise ValueError('scale must be a range of shares of the image, '
                             f'0 < low <= high <= 1, not {scale}')
        self.scale = scale
        self.ratio = ratio
        self.flip_prob = flip_prob

    def forward(self, num: int, device: torch.device) -> Geometry:
        """Draw a transform for each of ``num`` samples."""

        def uniform(low: Tensor | float, high: Tensor | float) -> Tensor:
            return low + (high - low) * torch.rand(num, device=device)

        area = uniform(*self.scale)
        limits = torch.tensor(self.ratio, device=device).log().unsqueeze(1)
        # wider or higher than the image: the crop would not fit
        low = torch.maximum(limits[0], area.log())
        high = torch.minimum(limits[1], -area.log())
        ratio = uniform(low, high).exp()
        width, height = (area * ratio).sqrt(), (area / ratio).sqrt()
        x, y = uniform(width - 1, 1 - width), uniform(height - 1, 1 - height)
        mirror = torch.rand(num, device=device) < self.flip_prob
        width = torch.where(mirror, -width, width)
        zero = torch.zeros_like(x)
        theta = torch.stack([width, zero, x, zero, height, y], dim=1)
        return Geometry(theta.view(num, 2, 3))


class RandomPhotometry(nn.Module):
    """Colour jitter, grey and blur of each image (PiCIE's invariance).

    Works on images as the network receives them, and draws for each image of
    a batch. A ``blur_sigma`` in pixels suits the paper's images of 640 pixels;
    smaller images want less.

    Args:
        mean (Sequence[float]): Mean by which images were normalised.
        std (Sequence[float]): Standard deviation by which they were divided.
        brightness (float): Strength of the jitter. Defaults to 0.3.
        contrast (float): Strength of the jitter. Defaults to 0.3.
        saturation (float): Strength of the jitter. Defaults to 0.3.
        hue (float): Strength of the jitter, in turns of the colour wheel.
            Defaults to 0.1.
        jitter_prob (float): Probability of the jitter. Defaults to 0.8.
        grey_prob (float): Probability of a grey image. Defaults to 0.2.
        blur_sigma (tuple[float, float]): Range of the standard deviation of
            the blur, in pixels. Defaults to (0.1, 2.0).
        blur_prob (float): Probability of the blur. Defaults to 0.5.
    """

    def __init__(self,
                 mean: Tensor | float = 0.0,
                 std: Tensor | float = 1.0,
                 brightness: float = 0.3,
                 contrast: float = 0.3,
                 saturation: float = 0.3,
                 hue: float = 0.1,
                 jitter_prob: float = 0.8,
                 grey_prob: float = 0.2,
                 blur_sigma: tuple[float, float] = (0.1, 2.0),
                 blur_prob: float = 0.5) -> None:
        super().__init__()
        if not 0 < blur_sigma[0] <= blur_sigma[1]:
            raise ValueError('blur_sigma must be a range of positive numbers '
                             f'of pixels, not {blur_sigma}')
        shape = (1, -1, 1, 1)
        self.register_buffer(
            'mean', torch.as_tensor(mean).float().view(shape), False)
        self.register_buffer(
            'std', torch.as_tensor(std).float().view(shape), False)
        # a kernel of three standard deviations to each side
        side = 2 * round(3 * blur_sigma[1]) + 1
        self.augmentation = K.AugmentationSequential(
            K.ColorJitter(brightness, contrast, saturation, hue,
                          p=jitter_prob),
            K.RandomGrayscale(p=grey_prob),
            K.RandomGaussianBlur((side, side), blur_sigma, p=blur_prob),
            data_keys=['input'])

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Change colours and sharpness, shape (B, 3, H, W)."""
        unit = ((images * self.std + self.mean) / 255).clamp(0, 1)
        with torch.autocast(images.device.type, enabled=False):
            unit = self.augmentation(unit)
        return (unit * 255 - self.mean) / self.std
