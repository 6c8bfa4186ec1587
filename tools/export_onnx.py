"""Write a model as ONNX: ``export_onnx.py MODEL [--out DIR]``.

MODEL is a checkpoint, of a training or published, or the name of a model of
the zoo. Writes ``<config>_<YYYYMMDD>-<sha8>.onnx`` after onnxruntime has given
the logits of torch to within 1e-4. docs/inference.md shows how to use it.
"""
import argparse
import sys

from mmseg_ssl.apis.publishing import publish_onnx
from mmseg_ssl.engine.environment import positive


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Write a model as ONNX')
    parser.add_argument(
        'model', help='checkpoint, or name of a model of the zoo')
    parser.add_argument(
        '--config', help="config of the model (the checkpoint's own)")
    parser.add_argument(
        '--out', default='work_dirs/published',
        help='folder to write to (work_dirs/published)')
    parser.add_argument(
        '--keep', choices=['teacher', 'student'],
        help='of two networks (the one that the config evaluates)')
    parser.add_argument(
        '--size', type=int, nargs=2, metavar=('H', 'W'),
        help='of the images (what the config tests with; the training '
        'crops where it keeps the ratio of sides)')
    parser.add_argument(
        '--batch-size', type=positive, default=1, help='images at once (1)')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    try:
        path, difference = publish_onnx(
            args.model, args.out, args.config, args.keep, args.size,
            args.batch_size)
    except (OSError, ValueError, ImportError, RuntimeError) as error:
        sys.exit(f'export_onnx.py: {error}')
    print(f'logits differ by at most {difference:.1e} from torch')
    print(path)


if __name__ == '__main__':
    main()
