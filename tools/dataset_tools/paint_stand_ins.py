"""Paint stand-ins for data sets: ``python .../paint_stand_ins.py data``.

Images of the layout, names and classes that commands in the pages expect, so
that these can be tried without the data sets (tools/run_doc_commands.py):
CamVid and MSRC-21 in their usual size, as far as the lists of labelled images
name them; Pascal VOC, Cityscapes and SUN RGB-D in thumbnails, as many as the
longest lists need. Labels are random tiles: nothing is learned from them.
"""
import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

SPLITS = Path(__file__).resolve().parents[2] / 'configs/_base_/splits'
GRID = 8  # tiles along each side
USUAL = 'img_dir/{}.jpg', 'ann_dir/{}.png'
THUMBNAIL = (40, 48)  # height, width


def draw(num_classes: int, size: tuple[int, int],
         rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """An image (H, W, 3) of tiles and its labels (H, W), uint8."""
    rows, columns = (np.arange(length) * GRID // length for length in size)
    tiles = rng.integers(0, num_classes, (GRID, GRID))
    labels = tiles[rows][:, columns]
    noise = rng.integers(0, 30, (*size, 3))
    image = (labels[..., None] * [11, 37, 71] + noise) % 256
    labels[:2, :2] = 255  # void
    return image.astype(np.uint8), labels.astype(np.uint8)


def paint(root: Path, names: Iterable[str], num_classes: int,
          size: tuple[int, int], layout: Sequence[str] = USUAL) -> None:
    """Write images and label maps; ``layout`` holds their paths below root."""
    rng = np.random.default_rng(0)
    for name in names:
        for pattern, pixels in zip(layout, draw(num_classes, size, rng)):
            path = root / pattern.format(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)


def listed(pattern: str) -> list[str]:
    """Training images in lists of this project, and four to validate on."""
    names = {name for path in SPLITS.glob(pattern)
             for name in path.read_text().split()}
    return [*(f'train/{name}' for name in sorted(names)),
            *(f'val/{number}' for number in range(4))]


def paint_voc(root: Path) -> None:
    """1400 images, of which 800 are in VOC's own list."""
    names = [f'2007_{number:06d}' for number in range(1400)]
    paint(root, names, 21, THUMBNAIL,
          ('JPEGImages/{}.jpg', 'SegmentationClassAug/{}.png'))
    lists = root / 'ImageSets/Segmentation'
    lists.mkdir(parents=True, exist_ok=True)
    for split, count in (('train', 800), ('trainaug', 1400)):
        (lists / f'{split}.txt').write_text('\n'.join(names[:count]) + '\n')


def paint_cityscapes(root: Path) -> None:
    """1500 training images of one city."""
    names = [f'train/aachen/aachen_{number:06d}_000019'
             for number in range(1500)]
    paint(root, names, 19, THUMBNAIL,
          ('leftImg8bit/{}_leftImg8bit.png',
           'gtFine/{}_gtFine_labelTrainIds.png'))


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0].split(':')[0])
    parser.add_argument('out', type=Path, help='folder of the data sets')
    return parser.parse_args()


def main() -> None:
    out = parse_args().out
    paint(out / 'camvid', listed('camvid/*-seed?.txt'), 11, (360, 480))
    paint(out / 'msrc21', listed('msrc21/21-seed?.txt'), 21, (213, 320))
    paint_voc(out / 'VOCdevkit/VOC2012')
    paint_cityscapes(out / 'cityscapes_512x1024')
    paint(out / 'sunrgbd', [f'train/{number}' for number in range(500)], 37,
          THUMBNAIL)


if __name__ == '__main__':
    main()
