"""Batched augmentation that follows a teacher's prediction.

Images, pseudo-labels and confidence move together, on the model's device,
with one set of random parameters per sample.
"""
from typing import NamedTuple

import kornia.augmentation as K
import torch
from torch import Tensor, nn

from mmseg_ssl.conventions import IGNORE_INDEX


class PseudoLabeled(NamedTuple):
    """A batch of images with what a teacher says of each pixel."""

    images: Tensor  # (B, 3, H, W), normalised as the network receives them
    labels: Tensor  # (B, H, W), int64, 255 = void
    confidence: Tensor  # (B, H, W), in [0, 1], 0 where void


class RandomScaleCrop(K.RandomAffine):
    """Zoom by a random factor, then crop the original size at random.

    A factor below 1 shrinks the image and leaves a zero border; the shrunken
    image lies at a random place.

    Args:
        scale (tuple[float, float]): Range of the factor.
    """

    def __init__(self, scale: tuple[float, float]) -> None:
        changes_size = tuple(scale) != (1, 1)
        super().__init__(degrees=0.0, scale=scale, p=float(changes_size))

    def generate_parameters(self, shape: tuple[int, ...]) -> dict[str, Tensor]:
        """Draw a factor per sample, and a shift within what it allows."""
        params = super().generate_parameters(torch.Size(shape))
        # From the centre of the image to the centre of its outermost pixel, so
        # that no pixel is interpolated with what lies outside.
        room = (params['scale'] - 1).abs() * params['center']
        params['translations'] = (2 * torch.rand_like(room) - 1) * room
        return params


class PseudoLabelAugmentation(nn.Module):
    """Strong augmentation of unlabelled images and their pseudo-labels.

    The recipe of ReCo's appendix: :meth:`scale_crop` before images are mixed,
    :meth:`photometric` (colour jitter, blur, flip) after it. Set a
    probability to 0, or ``scale`` to (1, 1), to leave a step out.

    Args:
        mean (Sequence[float]): Mean by which images were normalised.
        std (Sequence[float]): Standard deviation by which they were divided.
        scale (tuple[float, float]): Range of the zoom factor.
            Defaults to (1.0, 1.0).
        brightness (tuple[float, float]): Range of the factor.
            Defaults to (0.75, 1.25).
        contrast (tuple[float, float]): Range of the factor.
            Defaults to (0.75, 1.25).
        saturation (tuple[float, float]): Range of the factor.
            Defaults to (0.75, 1.25).
        hue (tuple[float, float]): Range of the shift in turns of the colour
            wheel. Defaults to (-0.25, 0.25).
        jitter_prob (float): Probability of the colour jitter.
            Defaults to 0.8.
        blur_sigma (tuple[float, float]): Range of the Gaussian's standard
            deviation in pixels. Defaults to (0.15, 1.15).
        blur_prob (float): Probability of the blur. Defaults to 0.5.
        flip_prob (float): Probability of the horizontal flip.
            Defaults to 0.5.
    """

    def __init__(self,
                 mean: Tensor,
                 std: Tensor,
                 scale: tuple[float, float] = (1.0, 1.0),
                 brightness: tuple[float, float] = (0.75, 1.25),
                 contrast: tuple[float, float] = (0.75, 1.25),
                 saturation: tuple[float, float] = (0.75, 1.25),
                 hue: tuple[float, float] = (-0.25, 0.25),
                 jitter_prob: float = 0.8,
                 blur_sigma: tuple[float, float] = (0.15, 1.15),
                 blur_prob: float = 0.5,
                 flip_prob: float = 0.5) -> None:
        super().__init__()
        shape = (1, -1, 1, 1)
        self.register_buffer(
            'mean', torch.as_tensor(mean).float().view(shape), False)
        self.register_buffer(
            'std', torch.as_tensor(std).float().view(shape), False)
        keys = ['input', 'mask', 'mask']
        self._scale_crop = K.AugmentationSequential(
            RandomScaleCrop(scale), data_keys=keys)
        # A kernel of three standard deviations to each side.
        kernel_size = 2 * round(3 * blur_sigma[1]) + 1
        self._photometric = K.AugmentationSequential(
            K.ColorJitter(
                brightness, contrast, saturation, hue, p=jitter_prob),
            K.RandomGaussianBlur((kernel_size, kernel_size),
                                 blur_sigma,
                                 p=blur_prob),
            K.RandomHorizontalFlip(p=flip_prob),
            data_keys=keys)

    def scale_crop(self, batch: PseudoLabeled) -> PseudoLabeled:
        """Zoom and crop each sample; what comes from outside is void."""
        return self._augment(self._scale_crop, batch)

    def photometric(self, batch: PseudoLabeled) -> PseudoLabeled:
        """Jitter colours, blur and flip each sample."""
        unit = (batch.images * self.std + self.mean) / 255
        batch = self._augment(
            self._photometric, batch._replace(images=unit.clamp(0, 1)))
        return batch._replace(
            images=(batch.images * 255 - self.mean) / self.std)

    @staticmethod
    def _augment(augmentation: nn.Module,
                 batch: PseudoLabeled) -> PseudoLabeled:
        # Borders are filled with 0, so 0 has to mean void while labels move.
        shifted = (batch.labels - IGNORE_INDEX).float().unsqueeze(1)
        with torch.autocast(batch.images.device.type, enabled=False):
            images, labels, confidence = augmentation(
                batch.images, shifted, batch.confidence.unsqueeze(1))
        return PseudoLabeled(
            images=images,
            labels=labels.squeeze(1).round().long() + IGNORE_INDEX,
            confidence=confidence.squeeze(1))
