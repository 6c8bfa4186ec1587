"""Join PASCAL VOC 2012 and SBD to the 10,582 training images of "VOC aug".

Extract ``VOCtrainval_11-May-2012.tar`` (host.robots.ox.ac.uk/pascal/VOC) into
``data``, and ``benchmark.tgz`` (Hariharan et al., SBD) anywhere::

    python tools/dataset_tools/convert_voc12aug.py \
        data/VOCdevkit/VOC2012 benchmark_RELEASE/dataset

writes ``SegmentationClassAug`` and the lists ``trainaug.txt`` and ``aug.txt``
into the first folder. What is there already is kept, so an interrupted call
can be repeated.
"""
import argparse
import sys
from pathlib import Path

from mmseg_ssl.datasets.conversion import convert_voc12aug
from mmseg_ssl.datasets.conversion.common import all_cores
from mmseg_ssl.engine.environment import positive


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Join VOC 2012 and SBD')
    parser.add_argument('voc', type=Path, help='folder VOCdevkit/VOC2012')
    parser.add_argument(
        'sbd', type=Path, help='folder benchmark_RELEASE/dataset')
    parser.add_argument(
        '--num-procs', type=positive, default=all_cores(),
        help='processes (all cores)')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    try:
        written = convert_voc12aug(args.voc, args.sbd, args.num_procs)
    except (OSError, ValueError) as error:
        sys.exit(f'convert_voc12aug.py: {error}')
    print(f'\n{args.voc}: {written} label maps written, the others were '
          'there')


if __name__ == '__main__':
    main()
