"""Convert AlexNet or VGG-16 of Caffe for our backbones.

``caffe_npz_to_torch.py ARCHIVE.npz CONFIG OUT.pth``

CONFIG says which backbone is wanted (a ``CaffeAlexNet`` or a ``LayeredVGG``,
for colour or grey, with or without batch norm) and how its images are
normalised. OUT is a checkpoint for ``tools/run_chain.py --start-from OUT.pth``
or ``model.transfer.checkpoint=OUT.pth``. The archive is written where Caffe
runs::

    net = caffe.Net(prototxt, caffemodel, caffe.TEST)
    numpy.savez('archive.npz', **{
        f'{layer}.{i}': blob.data for layer, blobs in net.params.items()
        for i, blob in enumerate(blobs)})

``--input-scale`` and ``--input-mean`` say what Caffe's network was fed with:
``scale * pixel - mean``. The colorization networks of Larsson et al. saw grey
in [0, 1]: ``--input-scale 0.00392156862745098 --input-mean 0.4488``.
"""
import argparse
import sys
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS

import mmseg_ssl  # noqa: F401  (registers what configs name)
from mmseg_ssl.backbones.caffe_weights import (
    CaffeInput,
    Conversion,
    OurInput,
    convert_caffe_weights,
    read_caffe_archive,
)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Convert AlexNet or VGG-16 of Caffe for our backbones')
    parser.add_argument('archive', type=Path, help='NumPy archive, .npz')
    parser.add_argument('config', type=Path, help='config with the backbone')
    parser.add_argument('out', type=Path, help='the checkpoint to write')
    parser.add_argument(
        '--input-scale', type=float, default=CaffeInput.scale,
        metavar='FACTOR', help='of pixels in [0, 255] (1)')
    parser.add_argument(
        '--input-mean', type=float, nargs='+', default=list(CaffeInput.mean),
        metavar='VALUE', help='subtracted from scaled pixels: one value, or '
        'three in the order of the channels (that of ImageNet, BGR)')
    parser.add_argument(
        '--rgb', action='store_true',
        help="channels of Caffe's network are RGB (usually BGR)")
    parser.add_argument(
        '--partial', action='store_true',
        help='leave out layers that the archive has not, instead of ending')
    return parser.parse_args()


def convert(args: argparse.Namespace) -> Conversion:
    """Build the backbone of the config and fill it from the archive.

    Raises:
        FileNotFoundError: If there is no archive or config.
        ValueError: If they do not fit, or layers are missing.
    """
    archive = read_caffe_archive(args.archive)
    cfg = Config.fromfile(args.config)
    init_default_scope(cfg.get('default_scope', 'mmseg'))
    model = cfg.model.get('segmentor', cfg.model)
    prepared = model.data_preprocessor
    result = convert_caffe_weights(
        MODELS.build(model.backbone), archive,
        CaffeInput(args.input_mean, args.input_scale, args.rgb),
        OurInput(prepared.mean, prepared.std,
                 prepared.get('bgr_to_rgb', False)))
    if not result.weights or (result.missing and not args.partial):
        raise ValueError(
            f'{args.archive} has no layers {", ".join(result.missing)}; it '
            f'has {", ".join(sorted(archive))}. --partial leaves them out')
    return result


def main() -> None:
    args = parse_args()
    try:
        result = convert(args)
    except (FileNotFoundError, ValueError) as error:
        sys.exit(f'caffe_npz_to_torch.py: {error}')
    args.out.parent.mkdir(parents=True, exist_ok=True)
    torch.save(dict(
        state_dict={f'backbone.{name}': value
                    for name, value in result.weights.items()},
        meta=dict(converted_from=args.archive.name)), args.out)
    print(f'{len(result.weights)} tensors converted')
    for what, names in (('start afresh', result.missing),
                        ('not used', result.unused)):
        if names:
            print(f'{what}: {", ".join(names)}')
    print(args.out)


if __name__ == '__main__':
    main()
