"""Segmentation on features that a proxy task has learned."""
from collections.abc import Sequence
from typing import Any

from mmengine.logging import print_log
from mmseg.models.segmentors import EncoderDecoder
from mmseg.registry import MODELS
from mmseg.utils import ConfigType
from torch import Tensor

from mmseg_ssl.backbones.blocks import (
    BLOCKS,
    check_blocks,
    load_blocks,
    modules_of_blocks,
)
from mmseg_ssl.engine.hooks.preflight_hook import (
    MissingFile,
    RefusedRun,
    read_checkpoint,
)


@MODELS.register_module()
class TransferEncoderDecoder(EncoderDecoder):
    """An ``EncoderDecoder`` whose backbone comes, block by block, from a file.

    The protocol of section 4.2 of `Self-Supervised Learning with Fully
    Convolutional Networks <https://arxiv.org/abs/2012.10017>`_: each of the
    five blocks of the backbone (:func:`mmseg_ssl.backbones.blocks.
    resolution_blocks`) is transferred and frozen, transferred and tuned, or
    starts at random. The decode head always starts at random. Weights have
    the names of the plain ``EncoderDecoder``, which loads its checkpoints.

    A frozen block gets no gradient, and its norms keep their statistics.

    Args:
        transfer (dict): ``checkpoint`` (str, optional): weights of the proxy
            task; without it every block starts at random, the baseline.
            ``prefix`` (str): of the backbone's names in it; defaults to
            ``'backbone.'``, empty for the weights of a bare backbone.
            ``freeze`` (Sequence[str]): blocks to freeze; defaults to ().
            ``random`` (Sequence[str]): blocks that start at random; defaults
            to (). All others are transferred and tuned.
        **kwargs: Of :class:`mmseg.models.EncoderDecoder`.

    Raises:
        ValueError: If a block is unknown, both frozen and random, or frozen
            without a checkpoint; if the backbone's blocks are not known.
        RefusedRun: When weights are initialised, if there is no such
            checkpoint, it cannot be read or its weights do not fit.
    """

    def __init__(self, transfer: ConfigType, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        transfer = dict(transfer)
        self.proxy_checkpoint = transfer.pop('checkpoint', None)
        self.proxy_prefix = transfer.pop('prefix', 'backbone.')
        freeze = transfer.pop('freeze', ())
        random = transfer.pop('random', ())
        if transfer:
            raise ValueError(
                f'transfer: unknown keys {sorted(transfer)}; use checkpoint, '
                'prefix, freeze and random')
        check_blocks(freeze, 'transfer.freeze')
        check_blocks(random, 'transfer.random')
        self.frozen_blocks, self.random_blocks = tuple(freeze), tuple(random)
        self._check()
        for module in modules_of_blocks(self.backbone, self.frozen_blocks):
            module.requires_grad_(False)

    def _check(self) -> None:
        both = sorted({*self.frozen_blocks} & {*self.random_blocks})
        if both:
            raise ValueError(
                f'transfer: {both} should start at random and be frozen; '
                'take them out of random or of freeze')
        if self.frozen_blocks and self.proxy_checkpoint is None:
            raise ValueError(
                f'transfer.freeze: {list(self.frozen_blocks)} cannot be '
                'frozen without the weights of transfer.checkpoint')

    @property
    def transferred_blocks(self) -> Sequence[str]:
        """Blocks that start from the checkpoint."""
        if self.proxy_checkpoint is None:
            return ()
        return [block for block in BLOCKS if block not in self.random_blocks]

    def init_weights(self) -> None:
        """Initialise everything, then copy the transferred blocks."""
        super().init_weights()
        if not self.transferred_blocks:
            return
        try:
            names = load_blocks(
                self.backbone, self._proxy_weights(), self.transferred_blocks)
        except MissingFile:
            raise
        except ValueError as error:
            raise RefusedRun(
                f'transfer.checkpoint={self.proxy_checkpoint!r}, '
                f'transfer.prefix={self.proxy_prefix!r}: {error}') from error
        print_log(
            f'{", ".join(self.transferred_blocks)} ({len(names)} tensors) '
            f'come from {self.proxy_checkpoint}; frozen: '
            f'{", ".join(self.frozen_blocks) or "none"}',
            logger='current')

    def _proxy_weights(self) -> dict[str, Tensor]:
        """Weights of the proxy's backbone, by their names in a backbone."""
        try:
            checkpoint = read_checkpoint(self.proxy_checkpoint)
        except FileNotFoundError as error:
            raise MissingFile(
                f'transfer.checkpoint={self.proxy_checkpoint!r} does not '
                'exist: train the proxy task first, or set '
                'model.transfer.checkpoint to its weights (None: start at '
                'random)') from error
        return {
            name.removeprefix(self.proxy_prefix): value
            for name, value in checkpoint.get('state_dict',
                                              checkpoint).items()
            if name.startswith(self.proxy_prefix)
        }

    def train(self, mode: bool = True) -> 'TransferEncoderDecoder':
        """Keep frozen blocks in eval mode, their norms as they are."""
        super().train(mode)
        for module in modules_of_blocks(self.backbone, self.frozen_blocks):
            module.eval()
        return self
