"""Receptive fields of convolutional networks, read off their operations."""
import copy
import math
from collections.abc import Collection
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten

# Keep every position where it is.
POINTWISE = {
    aten.add, aten.add_, aten.sub, aten.sub_, aten.rsub, aten.mul, aten.mul_,
    aten.div, aten.div_, aten.pow, aten.neg, aten.exp, aten.abs, aten.sqrt,
    aten.rsqrt, aten.minimum, aten.maximum, aten.clamp, aten.clamp_,
    aten.clamp_min, aten.clamp_min_, aten.relu, aten.relu_, aten.leaky_relu,
    aten.leaky_relu_, aten.hardtanh, aten.hardtanh_, aten.hardswish,
    aten.hardswish_, aten.hardsigmoid, aten.hardsigmoid_, aten.sigmoid,
    aten.sigmoid_, aten.tanh, aten.tanh_, aten.silu, aten.silu_, aten.gelu,
    aten.elu, aten.elu_, aten.softplus, aten.mish, aten._prelu_kernel,
    aten.clone, aten.detach, aten.alias, aten._to_copy, aten.copy_
}
# Their statistics may reach over all positions; the field is about what a
# cell sees as a place, so they count as pointwise.
NORM_LAYERS = (nn.modules.batchnorm._BatchNorm, nn.GroupNorm, nn.LayerNorm,
               nn.modules.instancenorm._InstanceNorm, nn.LocalResponseNorm)


class ReceptiveField(NamedTuple):
    """What a cell of a feature map sees, along one axis, in pixels.

    Cell i sees ``size`` pixels around ``offset + i * stride``; the centre of
    the first pixel lies at 0 (Eq. 2-3 of `Self-Supervised Learning with Fully
    Convolutional Networks <https://arxiv.org/abs/2012.10017>`_, where the
    stride is S_0 and the offset (r - 1) / 2 - P_0).
    """

    size: int
    stride: int
    offset: float

    @property
    def first_pixel(self) -> int:
        """The first pixel that cell 0 sees; in the padding if negative."""
        return math.floor(self.offset - (self.size - 1) / 2)

    def after(self, kernel: int, stride: int, padding: int,
              dilation: int) -> 'ReceptiveField':
        """Field of what a convolution or pooling makes of this map."""
        reach = dilation * (kernel - 1)
        return ReceptiveField(
            size=self.size + reach * self.stride,
            stride=self.stride * stride,
            offset=self.offset + (reach / 2 - padding) * self.stride)

    def union(self, other: 'ReceptiveField') -> 'ReceptiveField':
        """Field of a sum or concatenation with a map of the same stride."""
        if self.stride != other.stride:
            raise ValueError('maps of unequal strides cannot be joined: '
                             f'{self.stride} and {other.stride} pixels')
        first = min(self.first_pixel, other.first_pixel)
        end = max(self.first_pixel + self.size, other.first_pixel + other.size)
        return ReceptiveField(end - first, self.stride, (first + end - 1) / 2)


Fields = tuple[ReceptiveField, ReceptiveField]  # height, width


class _Unknown(NamedTuple):
    """In place of fields, behind an operation that has none."""

    operation: str


def _pair(value: Any) -> tuple[int, int]:
    value = list(value)
    return (value[0], value[-1])


class _FieldTracker(TorchDispatchMode):
    """Follow the receptive field of every tensor through the operations."""

    def __init__(self) -> None:
        super().__init__()
        # Holds the tensors, too: an id is unique only while its object lives.
        self._known: dict[
            int, tuple[Tensor, Fields | _Unknown | None]] = {}

    def set(self, tensor: Tensor, fields: Fields | _Unknown | None) -> None:
        self._known[id(tensor)] = (tensor, fields)

    def get(self, tensor: Tensor) -> Fields | _Unknown | None:
        """Fields of a tensor, None if it does not depend on the input."""
        return self._known.get(id(tensor), (None, None))[1]

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (),
                           kwargs: dict | None = None) -> Any:
        result = func(*args, **(kwargs or {}))
        inputs = [self.get(x) for x in _tensors((args, kwargs))]
        inputs = [fields for fields in inputs if fields is not None]
        if inputs:
            fields = self._propagate(func, inputs, args)
            for tensor in _tensors(result):
                self.set(tensor, fields)
        return result

    @staticmethod
    def _propagate(func: Any, inputs: list, args: tuple) -> Fields | _Unknown:
        for fields in inputs:
            if isinstance(fields, _Unknown):
                return fields
        operation = func.overloadpacket
        if operation in POINTWISE or (operation is aten.cat
                                      and args[1:] in ((1, ), (-3, ))):
            return _union(inputs)
        if operation is aten.convolution:
            _, weight, _, stride, padding, dilation, transposed = args[:7]
            if not transposed:
                return _window(inputs[0], weight.shape[2:], stride, padding,
                               dilation)
        if operation in (aten.max_pool2d_with_indices, aten.max_pool2d,
                         aten.avg_pool2d):
            kernel = args[1]
            stride = args[2] if len(args) > 2 and args[2] else kernel
            padding = args[3] if len(args) > 3 else (0, 0)
            dilation = (1, 1)
            if operation is not aten.avg_pool2d and len(args) > 4:
                dilation = args[4]
            return _window(inputs[0], kernel, stride, padding, dilation)
        return _Unknown(str(operation))


def _tensors(tree: Any) -> list[Tensor]:
    if isinstance(tree, Tensor):
        return [tree]
    if isinstance(tree, dict):
        tree = tree.values()
    elif not isinstance(tree, (list, tuple)):
        return []
    return [tensor for branch in tree for tensor in _tensors(branch)]


def _union(inputs: list[Fields]) -> Fields:
    height, width = inputs[0]
    for other in inputs[1:]:
        height, width = height.union(other[0]), width.union(other[1])
    return height, width


def _window(fields: Fields, *settings: Any) -> Fields:
    """Fields behind a window: kernel, stride, padding, dilation, as pairs."""
    by_axis = zip(*(_pair(setting) for setting in settings))
    height, width = (
        field.after(*numbers) for field, numbers in zip(fields, by_axis))
    return height, width


def receptive_fields(network: nn.Module,
                     depth: int = 1,
                     input_size: tuple[int, int] = (256, 256),
                     channels: int = 3) -> dict[str, Fields]:
    """Compute size, stride and offset of the receptive fields of layers.

    A copy of the network runs on tensors without memory, and the field of
    every map follows from the operations that made it; branches are joined to
    the smallest field that holds both. Statistics of norm layers do not
    count.

    Args:
        network (nn.Module): Takes one image batch (B, C, H, W).
        depth (int): How deep modules are reported: 1 for stem and stages, 2
            for their blocks as well. Containers that the network does not
            call, as in VGG, are replaced by what they hold. Defaults to 1.
        input_size (tuple[int, int]): Height and width the network accepts;
            the result does not depend on it. Defaults to (256, 256).
        channels (int): Channels of the image. Defaults to 3.

    Returns:
        dict[str, tuple[ReceptiveField, ReceptiveField]]: Fields along height
        and width of the output of each module, in the order in which they
        are computed.

    Raises:
        ValueError: If an operation is not a convolution, a pooling or
            pointwise, so that its receptive field is not defined.
    """
    found = _trace(network, input_size, channels)
    found.pop('')
    return {
        name: fields
        for name, fields in found.items() if _level(name, found) <= depth
    }


def output_receptive_field(network: nn.Module,
                           input_size: tuple[int, int] = (256, 256),
                           channels: int = 3) -> Fields:
    """Fields, along height and width, of the last map a network returns.

    Arguments and errors as of :func:`receptive_fields`.
    """
    return _trace(network, input_size, channels)['']


def _trace(network: nn.Module, input_size: tuple[int, int],
           channels: int) -> dict[str, Fields]:
    """Fields of what every module returned last, by name of the module."""
    network = copy.deepcopy(network).to('meta')
    network.eval()  # returns nothing in mmseg
    tracker = _FieldTracker()
    found: dict[str, Fields] = {}

    def keep_fields(module: nn.Module, args: tuple, output: Any) -> None:
        tracker.set(output, tracker.get(args[0]))

    def report(name: str, output: Any) -> None:
        tensors = _tensors(output)
        fields = tracker.get(tensors[-1]) if tensors else None
        if isinstance(fields, _Unknown):
            raise ValueError(
                f'{name or type(network).__name__} applies '
                f'{fields.operation}, for which a receptive field is not '
                'defined here: only convolutions, pooling and operations on '
                'single positions have one')
        if fields is not None:
            found[name] = fields

    for name, module in network.named_modules():
        if isinstance(module, NORM_LAYERS):
            module.register_forward_hook(keep_fields)
        module.register_forward_hook(
            lambda _, args, output, name=name: report(name, output))
    image = torch.empty(1, channels, *input_size, device='meta')
    pixel = ReceptiveField(size=1, stride=1, offset=0.0)
    tracker.set(image, (pixel, pixel))
    with torch.no_grad(), tracker:
        network(image)
    return found


def _level(name: str, called: Collection[str]) -> int:
    """Depth of a module, not counting containers that are never called."""
    parts = name.split('.')
    return sum('.'.join(parts[:end]) in called
               for end in range(1, len(parts) + 1))
