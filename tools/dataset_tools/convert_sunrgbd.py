"""Sort SUN RGB-D into ReCo's 9,860 training and 475 validation images.

The label maps of all images are too much for one MAT file of the official
toolbox to be read comfortably; they exist as PNG files, with the images
numbered alike, from github.com/ankurhanda/sunrgbd-meta-data. Extract
``SUNRGBD-train_images.tgz``, ``SUNRGBD-test_images.tgz`` and
``sunrgbd_train_test_labels.tar.gz`` into one folder, and put
``dataset/sun/test_idx.txt`` of github.com/lorenmt/reco beside them: the
numbers of the test images that ReCo validates on. Then ::

    python tools/dataset_tools/convert_sunrgbd.py DOWNLOADS

writes ``data/sunrgbd``. What is there already is kept, so an interrupted call
can be repeated.
"""
import argparse
import sys
from pathlib import Path

from mmseg_ssl.datasets.conversion import convert_sunrgbd
from mmseg_ssl.datasets.conversion.common import all_cores
from mmseg_ssl.engine.environment import positive


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Sort SUN RGB-D')
    parser.add_argument(
        'source', type=Path, help='folder of the extracted downloads')
    parser.add_argument(
        'out', type=Path, nargs='?', default=Path('data/sunrgbd'),
        help='folder to write to (data/sunrgbd)')
    parser.add_argument(
        '--num-procs', type=positive, default=all_cores(),
        help='processes (all cores)')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    try:
        written = convert_sunrgbd(args.source, args.out, args.num_procs)
    except (OSError, ValueError) as error:
        sys.exit(f'convert_sunrgbd.py: {error}')
    print(f'\n{args.out}: {written} images written, the others were there')


if __name__ == '__main__':
    main()
