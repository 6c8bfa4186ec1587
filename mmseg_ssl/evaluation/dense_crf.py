"""A dense CRF behind a segmentor: predictions that follow edges of colour."""
from typing import Any

import mmcv
import numpy as np
import torch
from mmengine.structures import PixelData
from mmseg.models import SegTTAModel
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from mmseg.utils import ConfigType, SampleList


class DenseCRF:
    """`Efficient Inference in Fully Connected CRFs with Gaussian Edge
    Potentials <https://arxiv.org/abs/1210.5644>`_, as pydensecrf computes it.

    Neighbours should have the same class, and pixels of the same colour even
    from far away. Defaults are those of the authors' example.

    Args:
        iterations (int): Mean-field updates. Defaults to 10.
        near_weight (float): Weight of neighbours. Defaults to 3.
        near_std (float): How far they are, in pixels. Defaults to 3.
        colour_weight (float): Weight of pixels of the same colour.
            Defaults to 10.
        colour_distance_std (float): How far they are, in pixels. Defaults
            to 80.
        colour_std (float): How far their colours are, in grey levels of 256.
            Defaults to 13.

    Raises:
        ImportError: pydensecrf is not installed.
    """

    def __init__(self,
                 iterations: int = 10,
                 near_weight: float = 3.0,
                 near_std: float = 3.0,
                 colour_weight: float = 10.0,
                 colour_distance_std: float = 80.0,
                 colour_std: float = 13.0) -> None:
        try:
            from pydensecrf.densecrf import DenseCRF2D
        except ImportError as error:
            raise ImportError(
                'a dense CRF needs the package pydensecrf2, which imports as '
                'pydensecrf; run: pip install pydensecrf2 (it is built from '
                f'source and needs a C++ compiler): {error}') from error
        self._new = DenseCRF2D
        self.iterations = iterations
        self.near_weight = near_weight
        self.near_std = near_std
        self.colour_weight = colour_weight
        self.colour_distance_std = colour_distance_std
        self.colour_std = colour_std

    def __call__(self, image: np.ndarray,
                 probabilities: np.ndarray) -> np.ndarray:
        """Refine the probabilities of an image.

        Args:
            image (np.ndarray): Shape (H, W, 3), uint8.
            probabilities (np.ndarray): Shape (K, H, W), K at least 2.

        Returns:
            np.ndarray: Probabilities, shape (K, H, W), float32.

        Raises:
            ValueError: Shapes differ, or there is one class alone.
        """
        num, *size = probabilities.shape
        if num < 2 or image.shape != (*size, 3):
            raise ValueError(
                'a dense CRF needs probabilities (K, H, W) of two classes or '
                'more and an image (H, W, 3) of the same size, not '
                f'{probabilities.shape} and {image.shape}')
        height, width = size
        energy = -np.log(np.maximum(probabilities, 1e-8), dtype=np.float32)
        crf = self._new(width, height, num)
        crf.setUnaryEnergy(np.ascontiguousarray(energy.reshape(num, -1)))
        crf.addPairwiseGaussian(sxy=self.near_std, compat=self.near_weight)
        crf.addPairwiseBilateral(
            sxy=self.colour_distance_std, srgb=self.colour_std,
            rgbim=np.ascontiguousarray(image), compat=self.colour_weight)
        refined = crf.inference(self.iterations)
        return np.array(refined, np.float32).reshape(num, height, width)


@MODELS.register_module()
class DenseCRFSegmentor(SegTTAModel):
    """Any segmentor with a dense CRF behind it, for evaluation.

    ``tools/test.py --crf`` puts it around the model of a config, with the
    options in its ``crf_model``. Checkpoints are those of the segmentor.
    FS4 (section 4.4) shows such predictions and does not count them.

    Args:
        module (dict): Config of the segmentor.
        temperature (float): Divides its logits before the softmax. Cosines
            differ by tenths where logits of classifiers differ by several,
            and want about 0.1. Defaults to 1.
        data_preprocessor (dict, optional): Not needed: the segmentor has
            its own.
        **options: Of :class:`DenseCRF`.

    Raises:
        ImportError: pydensecrf is not installed.
        ValueError: ``temperature`` is not positive.
    """

    def __init__(self,
                 module: ConfigType,
                 temperature: float = 1.0,
                 data_preprocessor: ConfigType | None = None,
                 **options: Any) -> None:
        super().__init__(module, data_preprocessor)
        if temperature <= 0:
            raise ValueError(f'temperature must be > 0, not {temperature}')
        self.temperature = temperature
        self.crf = DenseCRF(**options)

    def test_step(self, data: dict) -> SampleList:
        """Predict, and refine what is predicted.

        Args:
            data (dict): A batch of the data loader.

        Returns:
            list[SegDataSample]: ``pred_sem_seg`` is refined, ``seg_logits``
            are logarithms of the refined probabilities.
        """
        samples = self.module.test_step(data)
        for sample in samples:
            self._refine(sample)
        return samples

    def _refine(self, sample: SegDataSample) -> None:
        logits = sample.seg_logits.data
        image = mmcv.imread(sample.img_path, channel_order='rgb')
        refined = torch.from_numpy(self.crf(
            image, (logits.float() / self.temperature).softmax(
                dim=0).cpu().numpy())).to(logits.device)
        sample.set_data(dict(
            seg_logits=PixelData(data=refined.clamp(min=1e-8).log()),
            pred_sem_seg=PixelData(data=refined.argmax(0, keepdim=True))))
