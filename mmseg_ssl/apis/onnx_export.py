"""Networks as ONNX files that need neither mmseg nor this package."""
import contextlib
import importlib
import io
import json
import logging
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmseg.models.segmentors import BaseSegmentor
from torch import Tensor, nn

from mmseg_ssl.apis.checkpoints import find_test_pipeline

TOLERANCE = 1e-4
PACKAGES = ('onnx', 'onnxscript', 'onnxruntime')
INPUT, OUTPUT = 'images', 'logits'


class ImagesToLogits(nn.Module):
    """A segmentor that normalises images itself.

    Args:
        model (BaseSegmentor): In eval mode.
    """

    def __init__(self, model: BaseSegmentor) -> None:
        super().__init__()
        self.model = model
        preprocessor = model.data_preprocessor
        self.normalize = preprocessor._enable_normalize
        # upstream mmseg has the name without the underscore
        converted = getattr(
            preprocessor, '_channel_conversion',
            getattr(preprocessor, 'channel_conversion', False))
        self.as_bgr = not converted  # files are read as BGR

    def forward(self, images: Tensor) -> Tensor:
        """Predict whole images, at their size.

        Args:
            images (Tensor): RGB in [0, 255], shape (B, 3, H, W), float32.

        Returns:
            Tensor: Logits, shape (B, C, H, W).
        """
        x = images.flip(1) if self.as_bgr else images
        if self.normalize:
            preprocessor = self.model.data_preprocessor
            x = (x - preprocessor.mean) / preprocessor.std
        size = x.shape[2:]
        metas = [dict(img_shape=size, pad_shape=size, ori_shape=size)]
        return self.model.encode_decode(x, metas * len(x))


def make_images(batch_size: int, size: Sequence[int]) -> Tensor:
    """Smooth noise in [0, 255], the same every time, (B, 3, H, W)."""
    generator = torch.Generator().manual_seed(0)
    coarse = [max(2, side // 8) for side in size]
    images = torch.rand(batch_size, 3, *coarse, generator=generator)
    return 255 * F.interpolate(images, tuple(size), mode='bilinear',
                               align_corners=False)


def input_size(config: Config, model: BaseSegmentor) -> tuple[int, int]:
    """Height and width of the images that a config tests with.

    A window of the test where it slides one over images; else the size that
    the pipeline resizes to; else that of the training crops.

    Raises:
        ValueError: The config says nothing of them.
    """
    test_cfg = getattr(model, 'test_cfg', None) or {}
    if test_cfg.get('mode') == 'slide':
        return tuple(test_cfg['crop_size'])
    for transform in find_test_pipeline(config):
        if transform['type'] == 'Resize' and not transform.get('keep_ratio'):
            scale = transform.get('scale')  # or a factor of the size
            if isinstance(scale, int):
                return scale, scale
            if scale is not None:
                width, height = scale
                return height, width
    size = getattr(model.data_preprocessor, 'size', None)
    if size is None:
        raise ValueError(
            'the config does not say how large images are; give the height '
            'and width (--size H W)')
    return tuple(size)


def check_size(size: Sequence[int]) -> tuple[int, int]:
    """Refuse a height or width that no image has.

    Raises:
        ValueError: Says what it is.
    """
    if len(size) != 2 or min(size) < 1:
        raise ValueError('the size must be a height and a width above 0, not '
                         f'{tuple(size)}')
    return size[0], size[1]


def require_onnx() -> None:
    """Look for the packages that exporting needs.

    Raises:
        ImportError: Names those that are missing, and the command that helps.
    """
    missing = []
    for name in PACKAGES:
        try:
            importlib.import_module(name)
        except ImportError:
            missing.append(name)
    if missing:
        raise ImportError(
            f'exporting to ONNX needs {", ".join(missing)}: '
            f'pip install {" ".join(missing)}')


def export_onnx(model: BaseSegmentor,
                path: str | Path,
                size: Sequence[int],
                batch_size: int = 1,
                metadata: dict[str, Any] | None = None) -> float:
    """Write a segmentor as ONNX and compare it with torch.

    The input ``images`` has the shape (batch_size, 3, H, W), float32, RGB in
    [0, 255]; normalisation is part of the graph. The output ``logits`` has
    the shape (batch_size, C, H, W). All sizes are fixed.

    Args:
        model (BaseSegmentor): On the CPU.
        path (str | Path): File to write.
        size (Sequence[int]): Height and width in pixels.
        batch_size (int): Images at once. Defaults to 1.
        metadata (dict, optional): Written into the file as JSON, by key.

    Returns:
        float: Largest difference of a logit, as onnxruntime computes it on
        the CPU, from torch's.

    Raises:
        ImportError: onnx, onnxscript or onnxruntime is not installed.
        RuntimeError: No exporter of torch can write this model such that its
            logits differ by less than 1e-4; nothing is left at ``path``.
    """
    require_onnx()
    path = Path(path)
    images = make_images(batch_size, check_size(size))
    network = ImagesToLogits(model).eval()
    with torch.no_grad():
        expected = network(images).numpy()
    path.parent.mkdir(parents=True, exist_ok=True)
    reasons = []
    for export in (_by_torch_export, _by_tracing):
        try:
            _quietly(export, network, images, path)
            difference = _compare(path, images, expected)
        except Exception as error:  # an exporter fails in many ways
            reasons.append(f'{export.__name__.strip("_")}: {_first(error)}')
            continue
        if difference < TOLERANCE:
            _write_metadata(path, metadata or {})
            return difference
        reasons.append(f'{export.__name__.strip("_")}: logits differ by '
                       f'{difference:.1e}')
    path.unlink(missing_ok=True)
    raise RuntimeError(
        f'{type(model).__name__} cannot be exported to ONNX by torch '
        f'{torch.__version__}:\n  ' + '\n  '.join(reasons))


def _by_torch_export(network: nn.Module, images: Tensor, path: Path) -> None:
    torch.onnx.export(
        network, (images, ), str(path), input_names=[INPUT],
        output_names=[OUTPUT], dynamo=True, external_data=False,
        verbose=False)


def _by_tracing(network: nn.Module, images: Tensor, path: Path) -> None:
    """The older exporter of torch, for sizes that depend on computation."""
    torch.onnx.export(
        network, (images, ), str(path), input_names=[INPUT],
        output_names=[OUTPUT], dynamo=False, opset_version=18)


def _quietly(export: Callable[..., None], *args: Any) -> None:
    """Run an exporter without its reports, which are long."""
    logger = logging.getLogger('torch.onnx')
    disabled = logger.disabled
    logger.disabled = True
    try:
        with warnings.catch_warnings(), torch.no_grad(), \
                contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter('ignore')
            export(*args)
    finally:
        logger.disabled = disabled


def _first(error: Exception) -> str:
    """The first lines of an exporter's report."""
    return ' '.join(str(error).split())[:200] or type(error).__name__


def _compare(path: Path, images: Tensor, expected: np.ndarray) -> float:
    import onnxruntime

    session = onnxruntime.InferenceSession(
        str(path), providers=['CPUExecutionProvider'])
    found, = session.run(None, {INPUT: images.numpy()})
    return float(np.abs(found - expected).max())


def _write_metadata(path: Path, metadata: dict[str, Any]) -> None:
    import onnx

    model = onnx.load(str(path))
    onnx.helper.set_model_props(
        model, {key: json.dumps(value) for key, value in metadata.items()})
    onnx.save(model, str(path))
