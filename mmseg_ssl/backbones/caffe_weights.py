"""Weights of Caffe's AlexNet and VGG, by the names of its layers.

A network of Caffe is a mapping from the name of a layer to its blobs: of a
convolution the weight and the bias, of a ``BatchNorm`` the mean, the variance
and the factor by which both are to be divided, of a ``Scale`` the factor and
the bias. Convolutions have the shapes of PyTorch.
"""
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from mmseg_ssl.backbones.alexnet import CaffeAlexNet
from mmseg_ssl.backbones.vgg import LayeredVGG

Blobs = dict[int, np.ndarray]
BLOB_KEY = re.compile(r'^(?P<layer>.+)[./](?P<blob>\d+|weight|bias)$')
BLOB_NAMES = dict(weight=0, bias=1)
COLOURS = 3
EPSILON = 1e-5  # of Caffe's BatchNorm, unless its prototxt says otherwise


class PlainLayer(NamedTuple):
    """A convolution and the norm behind it, where there is one."""

    conv: nn.Conv2d
    norm: nn.Module | None


class CaffeNorm(NamedTuple):
    """A norm of Caffe with fixed statistics: all of shape (C, )."""

    mean: Tensor
    variance: Tensor
    weight: Tensor
    bias: Tensor


@dataclass
class CaffeInput:
    """What the network of Caffe was fed with: ``scale * pixel - mean``.

    Attributes:
        mean (Sequence[float]): One value for grey, three in the order of the
            channels. Defaults to that of ImageNet for Caffe's models.
        scale (float): Factor of values in [0, 255]. Defaults to 1.
        rgb (bool): Whether the order is RGB. Defaults to False, BGR.
    """

    mean: Sequence[float] = (104.00699, 116.66877, 122.67892)
    scale: float = 1.0
    rgb: bool = False


@dataclass
class OurInput:
    """What our network is fed with: ``(pixel - mean) / std``.

    Attributes:
        mean (Sequence[float]): Three values, in the order of the channels.
        std (Sequence[float]): The same.
        rgb (bool): Whether the order is RGB. Defaults to True.
    """

    mean: Sequence[float]
    std: Sequence[float]
    rgb: bool = True


@dataclass
class Conversion:
    """Weights for a backbone, and what there was besides.

    Attributes:
        weights (dict[str, Tensor]): By their names in the backbone.
        missing (list[str]): Layers of the backbone without weights.
        unused (list[str]): Layers of Caffe's network that are not in it.
    """

    weights: dict[str, Tensor] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)


def read_caffe_archive(path: Path) -> dict[str, Blobs]:
    """Read an archive of NumPy with a network of Caffe.

    Args:
        path (Path): An ``.npz`` whose arrays are called by layer and number
            of the blob, ``conv1.0`` and ``conv1.1`` or ``conv1/0`` and
            ``conv1/1``; ``weight`` and ``bias`` stand for 0 and 1.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no such archive.
    """
    if not path.is_file():
        raise FileNotFoundError(f'no such archive: {path}')
    if not zipfile.is_zipfile(path):
        raise ValueError(
            f'{path} is no archive of NumPy; write it with numpy.savez')
    layers: dict[str, Blobs] = {}
    with np.load(path, allow_pickle=False) as arrays:
        for key in arrays.files:
            match = BLOB_KEY.match(key)
            if match is None:
                raise ValueError(
                    f'{path}: {key!r} does not name a layer and a blob, as '
                    'conv1.0 (weight) and conv1.1 (bias)')
            blob = BLOB_NAMES.get(match['blob'])
            layers.setdefault(match['layer'], {})[
                int(match['blob']) if blob is None else blob] = arrays[key]
    return layers


def plain_layers(backbone: nn.Module) -> dict[str, PlainLayer]:
    """Convolutions of a backbone by the name that Caffe gives them.

    Raises:
        ValueError: If it is neither a :class:`CaffeAlexNet` nor a
            :class:`LayeredVGG`.
    """
    if isinstance(backbone, CaffeAlexNet):
        names = ('conv1', 'conv2', 'conv3', 'conv4', 'conv5', 'fc6', 'fc7')
        return {
            name: PlainLayer(getattr(backbone, name),
                             getattr(backbone, f'bn{name[-1]}', None))
            for name in names if hasattr(backbone, name)
        }
    if not isinstance(backbone, LayeredVGG):
        raise ValueError('Caffe has weights for a CaffeAlexNet and a '
                         f'LayeredVGG, not for a {type(backbone).__name__}')
    modules = {name: backbone.vgg.features[index]
               for name, index in backbone.layers.items()
               if name.startswith('conv')}
    modules.update({name: getattr(backbone, name) for name in ('fc6', 'fc7')
                    if hasattr(backbone, name)})
    return {name: PlainLayer(module.conv,
                             module.norm if module.with_norm else None)
            for name, module in modules.items()}


def convert_caffe_weights(backbone: nn.Module, archive: Mapping[str, Blobs],
                          caffe_input: CaffeInput,
                          our_input: OurInput) -> Conversion:
    """Give a backbone the weights of a network of Caffe.

    In evaluation the backbone then computes what Caffe's network does, for
    the same pixels in [0, 255]. The first convolution takes over what differs
    in their preparation: order of channels, mean, scale. Where it pads, the
    pixels along the border differ, as our zeros are our mean. A network for
    colours on grey images is the sum over its channels; one for grey images
    is spread over the channels of colours. A backbone for grey (the mean of
    normalised channels) is exact where their standard deviations are equal.

    Norms are copied; folded into a backbone without norms; and where only the
    backbone has norms, these start as the identity plus Caffe's bias.

    Args:
        backbone (nn.Module): Is changed in place: a :class:`CaffeAlexNet` or
            a :class:`LayeredVGG`.
        archive (Mapping[str, Blobs]): From :func:`read_caffe_archive`. Norms
            of layer ``conv1`` may be called ``batch_conv1``, ``bn_conv1``,
            ``conv1_bn``, ``conv1/bn`` or ``bn1``, what scales them alike.
        caffe_input (CaffeInput): What Caffe's network was fed with.
        our_input (OurInput): What the backbone is fed with.

    Returns:
        Conversion: The new weights, without layers that are missing.

    Raises:
        ValueError: If a blob has another shape than the backbone's, or the
            backbone is of another kind.
    """
    result = Conversion()
    used = set()
    layers = plain_layers(backbone)
    for name, layer in layers.items():
        if name not in archive:
            result.missing.append(name)
            continue
        norm, norm_names = _find_norm(archive, name)
        used |= {name, *norm_names}
        weight, bias = _read_conv(archive[name], name, layer.conv,
                                  is_first=name == next(iter(layers)))
        if name == next(iter(layers)):
            weight, bias = _adapt_first(weight, bias, layer.conv.in_channels,
                                        caffe_input, our_input)
        _store(layer, name, weight, bias, norm)
    result.unused = sorted(set(archive) - used)
    found = {id(tensor) for name, layer in layers.items()
             if name not in result.missing
             for module in layer if module is not None
             for tensor in (*module.parameters(), *module.buffers())}
    result.weights = {
        name: tensor.detach() for name, tensor in backbone.state_dict(
            keep_vars=True).items() if id(tensor) in found}
    return result


def _find_norm(archive: Mapping[str, Blobs],
               name: str) -> tuple[CaffeNorm | None, list[str]]:
    """The norm behind a layer, and how its parts are called."""

    def find(kinds: Sequence[str]) -> str | None:
        short = re.sub('^(conv|fc)', '', name)
        return next((key for kind in kinds for key in (
            f'{kind}_{name}', f'{name}_{kind}', f'{name}/{kind}',
            f'{kind}{short}') if key in archive), None)

    norm, scale = find(['batch', 'bn']), find(['scale'])
    if norm is None:
        return None, []
    blobs = archive[norm]
    factor = float(blobs[2].reshape(-1)[0]) if 2 in blobs else 1.0
    mean, variance = (
        _vector(blobs[i]) / (factor or 1.0) for i in (0, 1))
    weight, bias = torch.ones_like(mean), torch.zeros_like(mean)
    if scale is not None:
        weight = _vector(archive[scale][0])
        bias = _vector(archive[scale].get(1, np.zeros(len(weight))))
    return (CaffeNorm(mean, variance, weight, bias),
            [norm] if scale is None else [norm, scale])


def _read_conv(blobs: Blobs, name: str, conv: nn.Conv2d,
               is_first: bool) -> tuple[Tensor, Tensor]:
    """Weight and bias as of a convolution, whatever shape Caffe used.

    Raises:
        ValueError: Names the layer and both shapes.
    """
    wanted = tuple(conv.weight.shape)
    weight = torch.from_numpy(np.array(blobs[0], dtype=np.float32))
    if weight.squeeze().dim() == 2 and weight.numel() == np.prod(wanted):
        weight = weight.reshape(wanted)  # of a fully connected layer
    fits = tuple(weight.shape) == wanted or (
        is_first and weight.dim() == 4 and weight.size(1) in (1, COLOURS)
        and (weight.size(0), *weight.shape[2:]) == (wanted[0], *wanted[2:]))
    if not fits:
        raise ValueError(
            f'{name} is {_by_times(weight.shape)} in the archive, but '
            f'{_by_times(wanted)} in the backbone')
    bias = _vector(blobs.get(1, np.zeros(wanted[0])))
    if len(bias) != wanted[0]:
        raise ValueError(
            f'the bias of {name} has {len(bias)} values in the archive, but '
            f'the backbone has {wanted[0]} channels')
    return weight, bias


def _adapt_first(weight: Tensor, bias: Tensor, in_channels: int,
                 caffe: CaffeInput, ours: OurInput) -> tuple[Tensor, Tensor]:
    """Let the first convolution see our images as Caffe's saw its own.

    A pixel is ``std * x + mean`` for x that our network sees, so Caffe's
    network would see ``scale * std * x + shift``.

    Raises:
        ValueError: If the archive's first layer has another number of
            channels than the mean.
    """
    channels = weight.size(1)
    if len(caffe.mean) not in (1, channels):
        raise ValueError(
            f'the first layer of the archive sees {channels} channels, but '
            f'the mean of its input has {len(caffe.mean)} values')
    mean, std, caffe_mean = (torch.tensor(values, dtype=torch.float32)
                             for values in (ours.mean, ours.std, caffe.mean))
    caffe_mean = caffe_mean.expand(channels)
    if channels == COLOURS and caffe.rgb != ours.rgb:
        weight, caffe_mean = weight.flip(1), caffe_mean.flip(0)
    if channels == 1 or in_channels == 1:
        mean = mean.mean().expand(channels)
    shift = caffe.scale * mean - caffe_mean
    bias = bias + torch.einsum('oihw,i->o', weight, shift)
    if in_channels == 1:
        weight = weight.sum(dim=1, keepdim=True)
        factor = std.mean().expand(1)
    else:
        weight = weight.expand(-1, in_channels, -1, -1)
        factor = std * (channels / in_channels)
    return weight * (caffe.scale * factor).view(1, -1, 1, 1), bias


@torch.no_grad()
def _store(layer: PlainLayer, name: str, weight: Tensor, bias: Tensor,
           norm: CaffeNorm | None) -> None:
    """Write a layer's tensors; norms are copied, folded or made up."""
    if norm is not None and len(norm.mean) != len(bias):
        raise ValueError(
            f'the norm of {name} has {len(norm.mean)} channels in the '
            f'archive, but the backbone has {len(bias)}')
    if layer.norm is None:
        if norm is not None:
            factor = norm.weight / (norm.variance + EPSILON).sqrt()
            weight = weight * factor.view(-1, 1, 1, 1)
            bias = (bias - norm.mean) * factor + norm.bias
        layer.conv.weight.copy_(weight)
        layer.conv.bias.copy_(bias)
        return
    target: Any = layer.norm
    if norm is None:
        ones = torch.ones_like(bias)
        norm = CaffeNorm(torch.zeros_like(bias), ones - target.eps, ones,
                         torch.zeros_like(bias))
    layer.conv.weight.copy_(weight)
    target.running_mean.copy_(norm.mean - bias)
    target.running_var.copy_(norm.variance)
    target.weight.copy_(norm.weight)
    target.bias.copy_(norm.bias)


def _vector(blob: np.ndarray) -> Tensor:
    return torch.from_numpy(np.array(blob, dtype=np.float32)).flatten()


def _by_times(shape: Sequence[int]) -> str:
    return 'x'.join(map(str, shape))
