"""Publish checkpoints and predict in another environment, without us.

``check_published.py CKPT... --images IMAGES... --python OTHER/bin/python``

OTHER has torch, mmengine, mmcv and mmsegmentation, and onnxruntime for models
that need more. Prints the largest difference of a logit from the original
model here, and fails where it reaches 1e-4.
"""
import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
import torch
from mmseg.apis import inference_model

from mmseg_ssl.apis.checkpoints import load_segmentor
from mmseg_ssl.apis.onnx_export import TOLERANCE, ImagesToLogits, input_size
from mmseg_ssl.apis.publishing import Published, publish

PREDICT = Path(__file__).parent / 'analysis_tools/predict_published.py'


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Check published models')
    parser.add_argument('checkpoints', type=Path, nargs='+')
    parser.add_argument('--images', type=Path, nargs='+', required=True)
    parser.add_argument(
        '--python', default=sys.executable,
        help='interpreter of the other environment (this one)')
    parser.add_argument(
        '--out', type=Path, default=Path('work_dirs/published'),
        help='folder to publish to (work_dirs/published)')
    return parser.parse_args()


def check_images(paths: list[Path]) -> None:
    """See that OpenCV can read the images, before the other process does.

    Raises:
        ValueError: There is no such file, or it is no image.
    """
    for path in paths:
        if not (path.is_file() and cv2.haveImageReader(str(path))):
            problem = ('is no image that can be read' if path.exists()
                       else 'does not exist')
            raise ValueError(f'{path} {problem}')


def original_logits(checkpoint: Path, published: Published,
                    images: list[Path]) -> list[np.ndarray]:
    """What the model that was trained predicts."""
    loaded = load_segmentor(checkpoint)
    model = loaded.model
    if published.onnx is None:
        model.cfg = loaded.config  # where mmseg looks for the pipeline
        return [inference_model(model, str(path)).seg_logits.data.numpy()
                for path in images]
    height, width = input_size(loaded.config, model)
    network = ImagesToLogits(model).eval()
    logits = []
    for path in images:
        image = cv2.resize(cv2.imread(str(path)), (width, height))[..., ::-1]
        batch = torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float()
        with torch.no_grad():
            logits.append(network(batch)[0].numpy())
    return logits


def check(checkpoint: Path, args: argparse.Namespace) -> float:
    """Largest difference of a logit of one model."""
    published = publish(checkpoint, args.out)
    images = [path.resolve() for path in args.images]
    # not resolved: the link is what makes it the interpreter of a venv
    python = (os.path.abspath(args.python) if os.sep in args.python
              else args.python)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, 'logits.npz')
        model = (published.onnx or published.checkpoint).resolve()
        subprocess.run([python, '-W', 'ignore', PREDICT, model, *images,
                        '--out', out], cwd=folder, check=True)
        with np.load(out) as arrays:
            found = list(arrays.values())
    expected = original_logits(checkpoint, published, images)
    difference = max(float(np.abs(a - b).max())
                     for a, b in zip(found, expected))
    form = 'ONNX' if published.onnx else 'mmseg'
    print(f'{published.checkpoint.stem}: {form}, logits from '
          f'{min(a.min() for a in expected):.1f} to '
          f'{max(a.max() for a in expected):.1f}, '
          f'largest difference {difference:.1e}', flush=True)
    return difference


def main() -> None:
    args = parse_args()
    try:
        check_images(args.images)
        difference = max(check(path, args) for path in args.checkpoints)
    except (OSError, ValueError, ImportError, RuntimeError,
            subprocess.CalledProcessError) as error:
        sys.exit(f'check_published.py: {error}')
    if not difference < TOLERANCE:
        sys.exit('check_published.py: predictions are not the same')


if __name__ == '__main__':
    main()
