"""Publish a checkpoint: ``publish_model.py CKPT --out DIR``.

Writes ``<config>_<YYYYMMDD>-<sha8>.pth``, where sha8 is the start of the
SHA-256 of that file, and a config beside it. Kept are the network that
predicts and the names of the classes; a model of mmseg's own parts then runs
in an environment without this package. Any other is also written as ONNX.
Predictions are compared with the original's first.
"""
import argparse
import sys

from mmseg_ssl.apis.publishing import Published, publish


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Publish a checkpoint')
    parser.add_argument(
        'checkpoint', help='checkpoint of a training, or name in the zoo')
    parser.add_argument(
        '--config', help="config of the model (the checkpoint's own)")
    out = parser.add_mutually_exclusive_group()
    out.add_argument(
        'folder', nargs='?', help='to write to (work_dirs/published)')
    out.add_argument('--out', help='the same, as for the other tools')
    parser.add_argument(
        '--keep', choices=['teacher', 'student'],
        help='of two networks (the one that the config evaluates)')
    parser.add_argument(
        '--size', type=int, nargs=2, metavar=('H', 'W'),
        help='of the images that predictions are compared on and that the '
        'ONNX file takes (what the config tests with)')
    return parser.parse_args()


def summary(published: Published) -> str:
    """What was written, in lines."""
    lines = [f'kept: the {published.role}; logits differ by at most '
             f'{published.difference:.1e} from the original']
    if published.needs:
        lines += [f'needs {package}: {", ".join(names)}'
                  for package, names in published.needs.items()]
        lines.append(f'for other environments: {published.onnx}')
    else:
        lines.append('needs nothing but mmseg')
    return '\n'.join([*lines, str(published.config),
                      str(published.checkpoint)])


def main() -> None:
    args = parse_args()
    try:
        published = publish(
            args.checkpoint, args.out or args.folder or 'work_dirs/published',
            args.config, args.keep, args.size)
    except (OSError, ValueError, ImportError, RuntimeError) as error:
        sys.exit(f'publish_model.py: {error}')
    print(summary(published))


if __name__ == '__main__':
    main()
