"""The five blocks of a backbone, one for each resolution."""
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

BLOCKS = ('block1', 'block2', 'block3', 'block4', 'block5')

# Children by block. Maps have 1/2, 1/4, 1/8, 1/16 and 1/32 of the image's
# size; dilation and stride do not change what belongs together.
_MOBILENET_V2 = (('conv1', 'layer1'), ('layer2', ), ('layer3', ),
                 ('layer4', 'layer5'), ('layer6', 'layer7', 'conv2'))
_RESNET = (('conv1', 'bn1', 'gn1', 'stem'), ('layer1', ), ('layer2', ),
           ('layer3', ), ('layer4', ))
# Its fifth convolution and what only exists fully connected in the original.
_ALEXNET = (('conv1', 'bn1'), ('conv2', 'bn2'), ('conv3', 'bn3'),
            ('conv4', 'bn4'), ('conv5', 'bn5', 'fc6', 'bn6', 'fc7', 'bn7'))


def _vgg(backbone: nn.Module) -> list[tuple[str, ...]]:
    """Stages of mmpretrain's VGG, each up to its pooling."""
    stages: Any = backbone.range_sub_modules
    return [tuple(f'features.{i}' for i in range(*stage)) for stage in stages]


Table = Sequence[Sequence[str]]
_TABLES: dict[str, Table | Callable[[nn.Module], Table]] = dict(
    MobileNetV2=_MOBILENET_V2, CaffeAlexNet=_ALEXNET, VGG=_vgg,
    ResNet=_RESNET)


def resolution_blocks(backbone: nn.Module) -> dict[str, list[str]]:
    """Names of the modules in each of the five blocks of a backbone.

    "Most CNNs can be divided into five blocks according to the resolution of
    feature maps" (section 4.2 of `Self-Supervised Learning with Fully
    Convolutional Networks <https://arxiv.org/abs/2012.10017>`_). Of AlexNet,
    a block is a convolution; fc6 and fc7 belong to the last.

    Args:
        backbone (nn.Module): MobileNetV2, VGG or ResNet of mmseg or
            mmpretrain, or a :class:`CaffeAlexNet`, or of a subclass.

    Returns:
        dict[str, list[str]]: ``block1`` to ``block5``.

    Raises:
        ValueError: If the architecture is unknown or has a parameter that is
            in no block.
    """
    kinds = [kind.__name__ for kind in type(backbone).__mro__]
    known = next((kind for kind in kinds if kind in _TABLES), None)
    if known is None:
        raise ValueError(
            f'the blocks of {kinds[0]} are not known; they are of '
            f'{", ".join(sorted(_TABLES))} and their subclasses')
    table = _TABLES[known]
    if callable(table):
        table = table(backbone)
    present = dict(backbone.named_modules())
    blocks = {
        block: [name for name in names if name in present]
        for block, names in zip(BLOCKS, table)
    }
    everywhere = [name for names in blocks.values() for name in names]
    for name, _ in backbone.named_parameters():
        if not is_inside(name, everywhere):
            raise ValueError(
                f'{kinds[0]}: {name} is in none of the blocks known of '
                f'{known}')
    return blocks


def is_inside(name: str, modules: Sequence[str]) -> bool:
    """Whether a tensor belongs to one of some modules, by its name."""
    return any(name.startswith(f'{module}.') for module in modules)


def check_blocks(blocks: Sequence[str], argument: str) -> None:
    """Refuse names that are not blocks.

    Raises:
        ValueError: Names the argument, the unknown blocks and the known ones.
    """
    if isinstance(blocks, str):
        raise ValueError(f'{argument}: must be a list such as [{blocks}], not '
                         f'{blocks!r}')
    unknown = [block for block in blocks if block not in BLOCKS]
    if unknown:
        raise ValueError(
            f'{argument}: unknown blocks {unknown}; use some of '
            f'{", ".join(BLOCKS)}')


def modules_of_blocks(backbone: nn.Module,
                      blocks: Sequence[str]) -> Iterator[nn.Module]:
    """The modules of some blocks."""
    present = dict(backbone.named_modules())
    for block, names in resolution_blocks(backbone).items():
        if block in blocks:
            for name in names:
                yield present[name]


def load_blocks(backbone: nn.Module, state_dict: dict[str, Tensor],
                blocks: Sequence[str]) -> list[str]:
    """Copy the weights and statistics of some blocks into a backbone.

    Args:
        backbone (nn.Module): Is changed in place.
        state_dict (dict[str, Tensor]): Weights by name in the backbone.
        blocks (Sequence[str]): Of ``block1`` to ``block5``.

    Returns:
        list[str]: Names of the tensors copied.

    Raises:
        ValueError: If a tensor of a block is missing or of another shape.
    """
    by_block = resolution_blocks(backbone)
    modules = [name for block in blocks for name in by_block[block]]
    own = {name: value for name, value in backbone.state_dict().items()
           if is_inside(name, modules)}
    for name, value in own.items():
        given = state_dict.get(name)
        if given is None or given.shape != value.shape:
            found = 'missing' if given is None else tuple(given.shape)
            raise ValueError(
                f'the weights do not fit {type(backbone).__name__}: {name} '
                f'should be {tuple(value.shape)}, but is {found}')
    with torch.no_grad():
        for name, value in own.items():
            value.copy_(state_dict[name])
    return list(own)
