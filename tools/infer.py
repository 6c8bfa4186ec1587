"""Segment images or a video: ``infer.py MODEL IMAGES --out DIR``.

MODEL is a checkpoint (of a training, or published) or the name of a model of
the zoo; IMAGES a folder, a pattern in quotes, an image or a video. Writes

- ``DIR/overlay/NAME.png``: the image in the colours of the classes, a legend;
- ``DIR/labels/NAME.png``: the number of the class in each pixel;
- ``DIR/confidence/NAME.png``: the probability of that class, 255 is 1.

What lies in these three folders is never segmented, nor where an earlier call
has left three of these names side by side, so that DIR may be in IMAGES. An
image that cannot be read is left out and named at the end; then the exit
status is 1.
"""
import argparse
import math
import sys
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, islice
from pathlib import Path

import mmcv
import numpy as np
import torch
from mmengine.utils import ProgressBar
from PIL import Image

from mmseg_ssl.apis import Segmentation, Segmenter
from mmseg_ssl.apis.files import find_images, search_root, writable_folder
from mmseg_ssl.engine.environment import keep_freed_memory, positive
from mmseg_ssl.visualization.overlay import (
    draw_legend,
    legend_of,
    paint,
    with_legend,
)

VIDEO_SUFFIXES = ('.avi', '.m4v', '.mkv', '.mov', '.mp4', '.mpeg', '.mpg',
                  '.webm')
KINDS = ('overlay', 'labels', 'confidence')  # folders of what is written

Named = tuple[str, np.ndarray]


def share(text: str) -> float:
    """Parse a number from 0 to 1."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(
            f'{text!r} should be a number from 0 to 1')
    return value


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Segment images or the frames of a video')
    parser.add_argument(
        'model', help='checkpoint, or name of a model of the zoo')
    parser.add_argument(
        'images', help='folder, pattern in quotes, image, or video')
    parser.add_argument(
        '--out', type=Path, required=True, help='folder to write to')
    parser.add_argument(
        '--config', help="config of the model (the checkpoint's own)")
    parser.add_argument(
        '--batch-size', type=positive, default=4,
        help='images that are predicted at once, if of one size (4)')
    parser.add_argument(
        '--every', type=positive, default=1,
        help='of a video, take one frame of so many (1)')
    parser.add_argument(
        '--opacity', type=share, default=0.5,
        help='of the colours in the overlay, 0 to 1 (0.5)')
    parser.add_argument(
        '--device', help='such as cpu or cuda:1 (a GPU if there is one)')
    return parser.parse_args()


def read_frames(path: Path, every: int) -> tuple[Iterator[Named], int]:
    """Frames of a video, BGR, and how many there should be, 0 if unknown.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It cannot be read.
    """
    video = mmcv.VideoReader(str(path))
    decoded = decode(video)
    first = next(decoded, None)
    if first is None:
        raise ValueError(f'video {path} cannot be read')
    frames = ((f'{path.stem}_{i:06d}', frame)
              for i, frame in enumerate(chain([first], decoded))
              if i % every == 0)
    return frames, max(0, -(-video.frame_cnt // every))


def decode(video: mmcv.VideoReader) -> Iterator[np.ndarray]:
    """Frames to the end, where that is not known, too.

    Iterating over the reader would wind it back, which what browsers record
    does not allow.
    """
    while (frame := video.read()) is not None:
        yield frame


def read_images(paths: Mapping[str, Path], segmenter: Segmenter,
                unreadable: list[str]) -> Iterator[Named]:
    """Images by name, BGR; what is wrong with the others goes to a list."""
    for name, path in paths.items():
        try:
            yield name, segmenter.read(path)
        except (OSError, ValueError) as error:
            unreadable.append(str(error))


def written_folders(images: str, out: Path) -> list[Path]:
    """Folders among the images that this call writes, or others have."""
    found = {path.parent for path in search_root(images).rglob(KINDS[-1])
             if all((path.parent / kind).is_dir() for kind in KINDS)}
    return [folder / kind for folder in sorted({out, *found})
            for kind in KINDS]


def in_batches(items: Iterable[Named], size: int) -> Iterator[list[Named]]:
    """Lists of so many items; the last may be shorter."""
    items = iter(items)
    while batch := list(islice(items, size)):
        yield batch


def save(pixels: np.ndarray, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def write(name: str, image: np.ndarray, result: Segmentation,
          segmenter: Segmenter, args: argparse.Namespace) -> None:
    """Write the three pictures of an image (BGR)."""
    rgb = image[..., ::-1].clip(0, 255).astype(np.uint8)
    painted = paint(rgb, result.labels, segmenter.palette, args.opacity)
    legend = draw_legend(
        legend_of(result.labels, segmenter.classes, segmenter.palette),
        painted.shape[1])
    pictures = (with_legend(painted, legend), result.labels,
                (255 * result.confidence).round().astype(np.uint8))
    for kind, pixels in zip(KINDS, pictures, strict=True):
        save(pixels, args.out / kind / f'{name}.png')


def run(args: argparse.Namespace) -> tuple[int, list[str]]:
    """Predict and write everything.

    Returns:
        tuple[int, list[str]]: How many images were written, and what is wrong
        with those that were not.
    """
    writable_folder(args.out)
    is_video = Path(args.images).suffix.lower() in VIDEO_SUFFIXES
    # before time goes into loading a model
    if is_video:
        items, total = read_frames(Path(args.images), args.every)
    else:
        found = find_images(
            args.images, written_folders(args.images, args.out))
        total = len(found)
    segmenter = Segmenter(args.model, args.config, args.device)
    unreadable: list[str] = []
    if not is_video:
        items = read_images(found, segmenter, unreadable)
    bar = ProgressBar(total)
    for batch in in_batches(items, args.batch_size):
        names, images = zip(*batch)
        results = segmenter(images, args.batch_size, confidence=True)
        for name, image, result in zip(names, images, results):
            write(name, image, result, segmenter, args)
        bar.update(len(batch))
    print()
    if is_video and bar.completed < total:  # by its head, which may be wrong
        print(f'{args.images} ends after {bar.completed} of {total} frames',
              file=sys.stderr)
    return bar.completed, unreadable


def main() -> None:
    args = parse_args()
    keep_freed_memory()
    try:
        count, unreadable = run(args)
    except (OSError, ValueError) as error:
        sys.exit(f'infer.py: {error}')
    except torch.cuda.OutOfMemoryError:
        sys.exit(f'infer.py: the device has no memory for {args.batch_size} '
                 'images at once; give a smaller --batch-size, or --device '
                 'cpu')
    print(f'{count} images: {args.out.resolve()}')
    if unreadable:
        sys.exit('\n'.join(
            [f'infer.py: {len(unreadable)} left out:', *unreadable]))


if __name__ == '__main__':
    main()
