"""What a process needs around a training: configs, data roots, launchers.

Shared by ``tools/train.py`` and ``tools/test.py``; knows no method.
"""
import argparse
import ctypes
import logging
import os
import platform
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch.distributed as torch_dist
from mmengine.config import Config, DictAction
from mmengine.device import get_device
from mmengine.logging import print_log

# Top-level names of our configs, and the key under which datasets hold their
# value: --cfg-options with such a name reaches all of them.
_REACHING = dict(data_root='data_root', partial_labels='seg_map_path',
                 labeled_list='ann_file')

_M_TRIM_THRESHOLD = -1  # parameter numbers of glibc's <malloc.h>
_M_MMAP_THRESHOLD = -3


class CfgOptionsAction(DictAction):
    """mmengine's parser of ``KEY=VALUE``, which also takes any path.

    mmengine removes every blank and splits at every comma; here a value with
    a slash is a path, unless it starts as a list or tuple, and other texts
    keep their blanks.
    """

    @staticmethod
    def _parse_iterable(val: str) -> Any:
        is_path = '/' in val and val.strip('\'"')[:1] not in ('[', '(')
        if is_path or (' ' in val and not set(val) & set('[](),')):
            return val.strip('\'"')
        return DictAction._parse_iterable(val)


def config_folder() -> Path:
    """Folder of our configs: that of the package, or of a checkout.

    Raises:
        FileNotFoundError: Neither is there.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / '.mim/configs', package.parent / 'configs'):
        if (folder / '_base_/default_runtime.py').is_file():
            return folder.resolve()
    raise FileNotFoundError(
        f'the configs of mmseg_ssl are not beside {package}: install the '
        'package from its checkout with pip')


def read_config(path: str) -> Config:
    """Read a config that a command line names.

    Raises:
        FileNotFoundError: There is no such file.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(
            f'config {path} does not exist; give the path of a file such as '
            'those in configs/')
    return Config.fromfile(path)


def existing_checkpoint(path: str) -> str:
    """A checkpoint that is there, or has an address that mmengine knows.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is a folder.
    """
    refuse_folder(path)
    if '://' not in path and not Path(path).expanduser().is_file():
        raise FileNotFoundError(
            f'checkpoint {path} does not exist; trainings leave theirs in '
            'their work directory, such as work_dirs/NAME/iter_4000.pth')
    return path


def refuse_folder(path: str) -> None:
    """Name the checkpoints in a folder that was given in place of one.

    Raises:
        ValueError: It is a folder.
    """
    folder = Path(path).expanduser()
    if not folder.is_dir():
        return
    found = sorted(folder.glob('*.pth'),
                   key=lambda file: (len(file.name), file.name))
    if found:
        raise ValueError(f'{path} is a folder; give a checkpoint in it: '
                         f'{", ".join(map(str, found))}')
    raise ValueError(
        f'{path} is a folder without checkpoints; trainings leave theirs in '
        'their work directory, such as work_dirs/NAME/iter_4000.pth')


def _nested_dicts(node: Any) -> Iterator[dict]:
    """Yield every dict inside ``node``, itself included."""
    if isinstance(node, dict):
        yield node
        node = list(node.values())
    if isinstance(node, (list, tuple)):
        for child in node:
            yield from _nested_dicts(child)


def apply_cfg_options(cfg: Config, options: dict[str, Any] | None) -> None:
    """Merge the ``--cfg-options`` of the command line into ``cfg``.

    ``data_root=DIR`` also reaches every dataset that the config built from
    its own top-level ``data_root``, however deep it is nested; mmengine by
    itself would change the top-level name only, which nothing reads. A key
    that names one dataset (``val_dataloader.dataset.data_root=DIR``) wins.
    ``partial_labels=DIR`` does the same for the folder of partial label maps,
    ``labeled_list=FILE`` (its whole path) for the list of labelled images.

    Args:
        cfg (Config): Changed in place.
        options (dict, optional): What :class:`CfgOptionsAction` parsed.

    Raises:
        ValueError: One of these is given for a config without it.
    """
    options = dict(options or {})
    for name in _REACHING:
        if name in options:
            override_shared(cfg, name, options.pop(name))
    cfg.merge_from_dict(options)


def override_shared(cfg: Config, name: str, value: str) -> None:
    """Change a top-level name and every dataset that was built from it.

    Datasets with another value (a second source of images) stay as they are.
    """
    key = _REACHING[name]
    if name not in cfg:
        raise ValueError(
            f'{cfg.filename} has no top-level "{name}" to override; name '
            f'the dataset, e.g. train_dataloader.dataset.{key}=DIR')
    old = cfg[name]
    cfg[name] = value
    for node in _nested_dicts(cfg._cfg_dict):
        if node.get(key) == old:
            node[key] = value


def keep_freed_memory() -> bool:
    """Let glibc keep large freed blocks instead of returning them at once.

    Large activations of a CPU training step lie above malloc's thresholds:
    the kernel hands out zeroed pages for them and takes them back a moment
    later, tens of thousands of page faults in a step
    (``tools/benchmarks/cpu_step.py`` measures what they cost). The price
    is that the process keeps its peak memory until it ends.

    Does nothing where a GPU computes, on other C libraries, and where the
    environment already says something about malloc.

    Returns:
        bool: Whether the allocator was changed.
    """
    if (get_device() != 'cpu' or platform.libc_ver()[0] != 'glibc'
            or any(name.startswith('MALLOC_') for name in os.environ)):
        return False
    mallopt = ctypes.CDLL(None).mallopt
    # glibc before 2.35 accepts at most 32 MiB
    raised = (mallopt(_M_MMAP_THRESHOLD, 1 << 30)
              or mallopt(_M_MMAP_THRESHOLD, 32 << 20))
    return bool(raised and mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 4097))


def init_cpu_distributed(cfg: Config) -> None:
    """Make a launched run (``cfg.launcher``) work on machines without a GPU.

    mmengine selects a CUDA device whatever the backend, and DDP is given a
    device id; so the gloo group is started here, the wrapper is told to use
    no device, and SyncBN, which exists for GPUs only, becomes BN. Does nothing
    for a single process and where there is a GPU.
    """
    if cfg.get('launcher', 'none') == 'none' or get_device() != 'cpu':
        return
    if not torch_dist.is_initialized():
        _export_rank(cfg.launcher)
        torch_dist.init_process_group('gloo')
    cfg.setdefault('model_wrapper_cfg', {
        'type': 'MMDistributedDataParallel',
        'broadcast_buffers': False,
        'find_unused_parameters': cfg.get('find_unused_parameters', False),
    })
    cfg.model_wrapper_cfg.device_ids = None
    revert_sync_bn(cfg)


def revert_sync_bn(cfg: Config) -> None:
    """Replace SyncBN by BN in ``cfg``, with a warning when there was any."""
    found = cfg.get('sync_bn') is not None
    cfg.sync_bn = None
    for node in _nested_dicts(cfg.model):
        if node.get('type') in ('SyncBN', 'MMSyncBN'):
            node['type'] = 'BN'
            found = True
    if found:
        print_log(
            'SyncBN needs a GPU: BN is used, each process with the statistics '
            'of its own batch.', 'current', logging.WARNING)


def _export_rank(launcher: str) -> None:
    """Set the variables that torch.distributed reads, as torchrun does.

    Args:
        launcher (str): 'pytorch' (already set), 'slurm' or 'mpi' (Open MPI).
    """
    if launcher == 'pytorch':
        return
    prefix, size, rank, local_rank = {
        'slurm': ('SLURM_', 'NTASKS', 'PROCID', 'LOCALID'),
        'mpi': ('OMPI_COMM_WORLD_', 'SIZE', 'RANK', 'LOCAL_RANK'),
    }[launcher]
    os.environ['WORLD_SIZE'] = os.environ[prefix + size]
    os.environ['RANK'] = os.environ[prefix + rank]
    os.environ['LOCAL_RANK'] = os.environ[prefix + local_rank]
    os.environ.setdefault('MASTER_PORT', '29500')
    if launcher == 'slurm' and 'MASTER_ADDR' not in os.environ:
        nodes = subprocess.run(
            ['scontrol', 'show', 'hostname', os.environ['SLURM_NODELIST']],
            check=True, capture_output=True, text=True)
        os.environ['MASTER_ADDR'] = nodes.stdout.split()[0]


def positive(text: str) -> int:
    """Parse a number above 0, as an argument of a command.

    Raises:
        argparse.ArgumentTypeError: If it is none.
    """
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(
            f'{text!r} should be a number above 0')
    return int(text)


def named_run(text: str) -> tuple[str, str]:
    """Split ``NAME=WORK_DIR``, as an argument of a command.

    Raises:
        argparse.ArgumentTypeError: If a part is missing.
    """
    name, separator, work_dir = text.partition('=')
    if not separator or not name or not work_dir:
        raise argparse.ArgumentTypeError(
            f'{text!r} is not of the form NAME=WORK_DIR')
    return name, work_dir
