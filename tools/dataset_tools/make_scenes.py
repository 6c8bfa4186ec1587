"""Paint the embedded data set: ``python tools/dataset_tools/make_scenes.py``.

The same options give the same images. What is already there is kept, so an
interrupted call can be repeated.
"""
import argparse
import sys
from pathlib import Path

from mmseg_ssl.apis.files import writable_folder
from mmseg_ssl.datasets.scenes import ScenesSpec, write_scenes


def image_size(text: str) -> tuple[int, int]:
    """Parse HEIGHTxWIDTH."""
    try:
        height, width = map(int, text.split('x'))
    except ValueError:
        height = width = 0
    if min(height, width) < 32:
        raise argparse.ArgumentTypeError(
            f'{text!r} should be HEIGHTxWIDTH, at least 32x32, e.g. 96x128')
    return height, width


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Paint landscapes with exact labels')
    parser.add_argument(
        'out', nargs='?', type=Path, default=Path('data/scenes'),
        help='folder to write to (data/scenes)')
    parser.add_argument('--num-train', type=int, default=300)
    parser.add_argument('--num-val', type=int, default=60)
    parser.add_argument(
        '--size', type=image_size, default=(96, 128), metavar='HxW')
    parser.add_argument('--seed', type=int, default=0)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    height, width = args.size
    spec = ScenesSpec(
        num_train=args.num_train, num_val=args.num_val, height=height,
        width=width, seed=args.seed)
    try:
        painted = write_scenes(writable_folder(args.out), spec)
    except (OSError, ValueError) as error:
        sys.exit(f'make_scenes.py: {error}')
    total = spec.num_train + spec.num_val
    print(f'\n{args.out}: {painted} scenes painted, {total - painted} were '
          'there')


if __name__ == '__main__':
    main()
