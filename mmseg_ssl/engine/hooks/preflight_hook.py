"""Refuse a run that cannot give a useful model, before it costs time."""
import copy
import logging
import random
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.error import URLError

import numpy as np
import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.model import BaseTTAModel, is_model_wrapper
from mmengine.runner import (
    BaseLoop,
    CheckpointLoader,
    Runner,
    find_latest_checkpoint,
)
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.registry import HOOKS
from torch import Tensor, nn

from mmseg_ssl.datasets.checks import check_dataset, leaf_datasets

MAX_REPORTED = 5


class RefusedRun(ValueError):
    """A run that cannot give a useful model; says what would be right."""


class MissingFile(RefusedRun, FileNotFoundError):
    """A run whose file is not there."""


@HOOKS.register_module()
class PreflightHook(Hook):
    """Check classes, checkpoint and data before training or evaluation.

    Runs before mmengine initialises or loads any weight:

    1. every decode head, auxiliary or nested, has as many classes as the
       datasets (:func:`check_num_classes`);
    2. the checkpoint to load or resume can be read and fits the model
       (:func:`check_checkpoint`), and files that parts of it start from are
       there (:func:`check_pretrained`);
    3. images and label maps are readable and hold what they should
       (:func:`mmseg_ssl.datasets.checks.check_dataset`; a set of files that
       passed is remembered and not read again);
    4. before training, what the model itself asks for: it may name hooks
       without which it learns nothing in ``required_hooks``, and have a
       method ``check_data(dataloader)``, which raises ValueError.

    Each failure is a :class:`RefusedRun` that names the file, key or value.

    Args:
        scan_files (bool): Whether to do the third check. Switch it off where
            a transform after ``LoadAnnotations`` turns other values into class
            ids. Defaults to True.
        cache_dir (str, optional): Where to remember sets of files that
            passed. Defaults to ``$XDG_CACHE_HOME/mmseg_ssl`` or
            ``~/.cache/mmseg_ssl``.
    """

    priority = 'VERY_HIGH'

    def __init__(self,
                 scan_files: bool = True,
                 cache_dir: str | None = None) -> None:
        self.scan_files = scan_files
        self.cache_dir = Path(cache_dir) if cache_dir else None

    def before_run(self, runner: Runner) -> None:
        """Do all checks on what the runner is about to use.

        Raises:
            RefusedRun: One of them failed.
        """
        try:
            self._check(runner)
        except FileNotFoundError as error:
            raise MissingFile(str(error)) from error
        except (OSError, ValueError) as error:
            raise RefusedRun(str(error)) from error

    def _check(self, runner: Runner) -> None:
        model = runner.model
        while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
            model = model.module
        # A loop that is not part of this run is still a config.
        loops = [
            loop for loop in (runner._train_loop, runner._val_loop,
                              runner._test_loop) if isinstance(loop, BaseLoop)
        ]
        for loop in loops:
            check_num_classes(model, loop.dataloader.dataset)
        training = isinstance(runner._train_loop, BaseLoop)
        if training:
            check_hooks(model, runner.hooks)
            check_pretrained(model)
        self._check_checkpoint(runner, model, training)
        if self.scan_files:
            leaves = {
                id(leaf): leaf for loop in loops
                for leaf in leaf_datasets(loop.dataloader.dataset)
            }
            for dataset in leaves.values():
                check_dataset(dataset, self.cache_dir)
        if training and hasattr(model, 'check_data'):
            with kept_random_state():
                model.check_data(runner._train_loop.dataloader)

    @staticmethod
    def _check_checkpoint(runner: Runner, model: nn.Module,
                          training: bool) -> None:
        """Find the checkpoint as :meth:`Runner.load_or_resume` does."""
        path = runner._load_from
        if runner._resume and path is None:
            path = find_latest_checkpoint(runner.work_dir)
        if path is None or runner._has_loaded:
            return
        if not training:
            purpose = 'predict'
        else:
            purpose = 'resume' if runner._resume else 'initialize'
        check_checkpoint(model, path, purpose)


@contextmanager
def kept_random_state() -> Iterator[None]:
    """Leave the global generators of the CPU as they were before."""
    python, numpy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


def check_hooks(model: nn.Module, hooks: Sequence[Hook]) -> None:
    """See whether a model has the hooks that it names in ``required_hooks``.

    Args:
        model (nn.Module): Its ``required_hooks`` are names of classes.
        hooks (Sequence[Hook]): Hooks of the run; subclasses count.

    Raises:
        ValueError: Names a hook that is not there.
    """
    there = {base.__name__ for hook in hooks for base in type(hook).__mro__}
    for name in getattr(model, 'required_hooks', ()):
        if name not in there:
            raise ValueError(
                f'{type(model).__name__} learns nothing without {name}: add '
                f"dict(type='{name}') to custom_hooks")


def check_pretrained(model: nn.Module, key: str = 'model') -> None:
    """See whether the files are there that parts of a model start from.

    Args:
        model (nn.Module): Parts may have an ``init_cfg`` of type Pretrained.
        key (str): Where the model is in the config. Defaults to 'model'.

    Raises:
        MissingFile: Names the part and its file.
    """
    for name, module in model.named_modules():
        cfg = getattr(module, 'init_cfg', None)
        if not isinstance(cfg, dict) or cfg.get('type') != 'Pretrained':
            continue
        path = cfg['checkpoint']
        if '://' not in path and not Path(path).expanduser().is_file():
            raise MissingFile(
                f'{name or "the model"} starts from {path}, which does not '
                'exist: train that first, or name other weights in '
                f'{".".join(filter(None, [key, name]))}.'
                'init_cfg.checkpoint')


def check_num_classes(model: nn.Module, dataset: object) -> None:
    """Compare every decode head of a model with the classes of a dataset.

    Args:
        model (nn.Module): Any nesting of segmentors and heads.
        dataset (object): A dataset; one that does not name its classes fits
            every model.

    Raises:
        ValueError: Names each head that disagrees.
    """
    classes = getattr(dataset, 'metainfo', {}).get('classes')
    wrong = _heads_of_other_classes(model, classes)
    if wrong:
        raise ValueError(
            f'{wrong}, but {type(dataset).__name__} has {len(classes)} '
            f'classes ({", ".join(classes)}): set num_classes={len(classes)} '
            'in the config of each head')


def check_trained_classes(model: nn.Module, meta: dict, path: str) -> None:
    """Compare every decode head of a model with the classes of a checkpoint.

    Args:
        model (nn.Module): Any nesting of segmentors and heads.
        meta (dict): What the checkpoint says of itself; one that does not
            name the classes it was trained on fits every model.
        path (str): Where it comes from.

    Raises:
        ValueError: Names each head that disagrees.
    """
    classes = (meta.get('dataset_meta') or {}).get('classes')
    wrong = _heads_of_other_classes(model, classes)
    if wrong:
        raise ValueError(
            f'{path} does not fit its config: {wrong}, but it was trained on '
            f'{len(classes)} classes ({", ".join(classes)}), those of '
            'another dataset: use the config it was trained with, or train '
            'this one anew')


def _heads_of_other_classes(model: nn.Module,
                            classes: Sequence[str] | None) -> str:
    """Each head with another number of classes; empty if none has."""
    if not classes:
        return ''
    return ', '.join(
        f'{name}.num_classes is {head.num_classes}'
        for name, head in model.named_modules()
        if isinstance(head, BaseDecodeHead)
        and head.num_classes != len(classes))


class Mismatch(NamedTuple):
    """Where the weights of a checkpoint and a model differ.

    Attributes:
        missing (list[str]): Names only the model has.
        unexpected (list[str]): Names only the checkpoint has.
        resized (dict[str, str]): Messages on different shapes, by name.
    """
    missing: list[str]
    unexpected: list[str]
    resized: dict[str, str]

    def not_loaded(self) -> list[str]:
        """Names of the model that would keep their present value."""
        return [*self.resized, *self.missing]

    def describe(self) -> str:
        """List the first few names of each kind."""
        parts = [
            _listing('not in the checkpoint', self.missing),
            _listing('of another shape', list(self.resized.values())),
            _listing('only in the checkpoint', self.unexpected),
        ]
        return '\n'.join(part for part in parts if part)


def _listing(title: str, items: list[str]) -> str:
    if not items:
        return ''
    shown = '; '.join(items[:MAX_REPORTED])
    more = len(items) - MAX_REPORTED
    return f'  {title}: {shown}' + (f'; and {more} more' if more > 0 else '')


def check_checkpoint(model: nn.Module, path: str, purpose: str) -> None:
    """See whether the weights in a checkpoint fit a model.

    The model itself says what it would load, so its own translation of names
    (a plain segmentor's weights for a Mean Teacher) counts.

    Args:
        model (nn.Module): Is not changed.
        path (str): Anything mmengine loads: a file, a URL, ``torchvision://``.
        purpose (str): How well they must fit. ``'resume'``: in every tensor.
            ``'predict'``: in every tensor that prediction uses; a module names
            what it only trains with in ``training_only``.
            ``'initialize'``: in every tensor of each backbone; other
            differences give a warning.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It cannot be read, or is of other classes where these
            matter; or names tensors that do not fit.
    """
    checkpoint = read_checkpoint(path)
    if purpose == 'resume' and 'message_hub' not in checkpoint:
        raise ValueError(
            f'{path} holds weights but no state of a training run, so it '
            'cannot be resumed; start from it with load_from and without '
            '--resume')
    if purpose != 'initialize':
        check_trained_classes(model, checkpoint.get('meta') or {}, path)
    check_weights(model, checkpoint.get('state_dict', checkpoint), path,
                  purpose)


def check_weights(model: nn.Module, state_dict: dict[str, Tensor], path: str,
                  purpose: str) -> None:
    """See whether weights fit a model.

    Args:
        model (nn.Module): Is not changed.
        state_dict (dict[str, Tensor]): Weights by name.
        path (str): Where they come from.
        purpose (str): As for :func:`check_checkpoint`.

    Raises:
        ValueError: Names tensors that do not fit.
    """
    mismatch = compare_weights(model, state_dict)
    if not any(mismatch):
        return
    not_loaded = mismatch.not_loaded()
    if purpose == 'predict':
        unused = training_only_prefixes(model)
        wrong = [n for n in not_loaded if not f'{n}.'.startswith(unused)]
    elif purpose == 'initialize':
        wrong = [name for name in not_loaded if 'backbone' in name.split('.')]
    else:
        wrong = [*not_loaded, *mismatch.unexpected]
    if wrong:
        advice = {
            'resume': 'Resume with the config that wrote it.',
            'predict': 'Use the config it was trained with.',
            'initialize':
            'load_from takes the weights of a whole model; those of a bare '
            "backbone go to the backbone's init_cfg=dict(type='Pretrained', "
            'checkpoint=...).',
        }[purpose]
        raise ValueError(
            f'the weights in {path} do not fit this '
            f'{type(model).__name__}:\n{mismatch.describe()}\n{advice}')
    if is_main_process():
        print_log(
            f'Loading {path} leaves some weights aside:\n'
            f'{mismatch.describe()}',
            logger='current',
            level=logging.WARNING)


def read_checkpoint(path: str) -> dict:
    """Read a checkpoint to the CPU.

    Args:
        path (str): Anything mmengine loads: a file, a URL, ``torchvision://``.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It cannot be read.
    """
    try:
        return CheckpointLoader.load_checkpoint(path, map_location='cpu')
    except FileNotFoundError as error:
        raise FileNotFoundError(f'checkpoint {path} does not exist') from error
    except (PermissionError, URLError) as error:
        raise ValueError(
            f'checkpoint {path} cannot be read: {error}') from error
    except Exception as error:  # a damaged file fails in many ways
        raise ValueError(f'{path} is no checkpoint, or damaged'
                         f'{_telling_part(error)}') from error


def _telling_part(error: Exception) -> str:
    """The start of what torch says of a damaged file, if it is of use."""
    if isinstance(error, (EOFError, LookupError)):  # lost within a pickle
        return ''
    reason = re.split(r'\n|\. ', str(error))[0]
    return f': {type(error).__name__} {reason}'.rstrip()


def training_only_prefixes(model: nn.Module) -> tuple[str, ...]:
    """Prefixes of the names of tensors that take no part in prediction."""
    prefixes = []
    for name, module in model.named_modules():
        children = ('auxiliary_head', *getattr(module, 'training_only', ()))
        prefixes += [f'{name}.{child}.'.lstrip('.') for child in children]
    return tuple(prefixes)


def compare_weights(model: nn.Module, state_dict: dict[str,
                                                       Tensor]) -> Mismatch:
    """Ask a model what it would load, without loading and without a copy.

    Args:
        model (nn.Module): Is not changed.
        state_dict (dict[str, Tensor]): Weights by name.

    Returns:
        Mismatch: The differences.
    """
    mismatch = Mismatch([], [], {})
    metadata = getattr(state_dict, '_metadata', None) or {}
    errors: list[str] = []

    # mmengine.runner.load_state_dict does the same, and only prints.
    def load(module: nn.Module, state: dict[str, Tensor],
             prefix: str = '') -> None:
        module._load_from_state_dict(state, prefix,
                                     metadata.get(prefix[:-1], {}), True,
                                     mismatch.missing, mismatch.unexpected,
                                     errors)
        for name, child in module._modules.items():
            if child is not None:
                start = f'{prefix}{name}.'
                load(child,
                     {k: v
                      for k, v in state.items() if k.startswith(start)}, start)

    # Inside the context, tensors that a module adds itself are meta, too.
    with torch.device('meta'):
        load(_on_meta(model), {
            re.sub(r'^module\.', '', name):
            torch.empty_like(value, device='meta')
            for name, value in state_dict.items() if isinstance(value, Tensor)
        })
    for error in errors:  # 'size mismatch for NAME: copying ...'
        name = error.partition(':')[0].split()[-1]
        mismatch.resized[name] = error.removeprefix('size mismatch for ')
    # Old checkpoints have no such counters, and loading ignores it.
    counters = [n for n in mismatch.missing if 'num_batches_tracked' in n]
    for name in counters:
        mismatch.missing.remove(name)
    return mismatch


def _on_meta(model: nn.Module) -> nn.Module:
    """A copy of a model whose tensors have a shape but no storage."""
    memo: dict[int, Tensor] = {}
    for parameter in model.parameters():
        memo[id(parameter)] = nn.Parameter(
            torch.empty_like(parameter, device='meta'),
            requires_grad=parameter.requires_grad)
    for buffer in model.buffers():
        memo[id(buffer)] = torch.empty_like(buffer, device='meta')
    return copy.deepcopy(model, memo)
