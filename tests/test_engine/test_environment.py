import argparse
import os
import stat
import subprocess
import sys

import pytest
import torch
from mmengine.config import Config

from mmseg_ssl.engine import environment
from mmseg_ssl.engine.environment import (
    CfgOptionsAction,
    apply_cfg_options,
    init_cpu_distributed,
    override_shared,
    positive,
    revert_sync_bn,
)

without_gpu = pytest.mark.skipif(
    environment.get_device() != 'cpu', reason='about machines without a GPU')


@pytest.fixture
def cfg():
    """Datasets in every kind of nesting that our configs use."""
    dataset = dict(type='CamVidDataset', data_root='data/camvid')
    unlabeled = dict(type='UnlabeledDataset', data_root='data/camvid')
    other = dict(type='UnlabeledDataset', data_root='data/other')
    return Config(dict(
        data_root='data/camvid',
        labeled_dataset=dataset,
        train_dataloader=dict(
            dataset=dict(
                type='SemiSegDataset',
                labeled=dataset,
                unlabeled=dict(
                    type='ConcatDataset', datasets=[unlabeled, other]))),
        val_dataloader=dict(dataset=dataset),
        test_dataloader=[dict(dataset=dataset), dict(dataset=other)]))


def test_data_root_reaches_every_dataset_that_shares_it(cfg):
    apply_cfg_options(cfg, dict(data_root='/elsewhere'))
    train = cfg.train_dataloader.dataset
    assert cfg.data_root == '/elsewhere'
    assert cfg.labeled_dataset.data_root == '/elsewhere'
    assert train.labeled.data_root == '/elsewhere'
    assert train.unlabeled.datasets[0].data_root == '/elsewhere'
    assert cfg.val_dataloader.dataset.data_root == '/elsewhere'
    assert cfg.test_dataloader[0].dataset.data_root == '/elsewhere'


def test_other_data_roots_stay(cfg):
    override_shared(cfg, 'data_root', '/elsewhere')
    other = cfg.train_dataloader.dataset.unlabeled.datasets[1]
    assert other.data_root == 'data/other'
    assert cfg.test_dataloader[1].dataset.data_root == 'data/other'


def test_a_named_dataset_wins_over_the_common_root(cfg):
    apply_cfg_options(cfg, {
        'val_dataloader.dataset.data_root': '/val',
        'data_root': '/elsewhere',
    })
    assert cfg.val_dataloader.dataset.data_root == '/val'
    assert cfg.labeled_dataset.data_root == '/elsewhere'


def test_labeled_list_reaches_the_labelled_dataset_alone():
    labeled = dict(type='CamVidDataset', ann_file='/lists/20-seed0.txt')
    cfg = Config(dict(
        labeled_list='/lists/20-seed0.txt',
        labeled_dataset=labeled,
        train_dataloader=dict(dataset=dict(
            labeled=labeled,
            unlabeled=dict(type='UnlabeledDataset', ann_file='all.txt')))))
    apply_cfg_options(cfg, dict(labeled_list='/lists/50-seed1.txt'))
    train = cfg.train_dataloader.dataset
    assert cfg.labeled_dataset.ann_file == '/lists/50-seed1.txt'
    assert train.labeled.ann_file == '/lists/50-seed1.txt'
    assert train.unlabeled.ann_file == 'all.txt'


def test_options_are_left_as_they_were(cfg):
    options = {'data_root': '/elsewhere', 'val_dataloader.batch_size': 3}
    apply_cfg_options(cfg, options)
    assert cfg.val_dataloader.batch_size == 3
    assert set(options) == {'data_root', 'val_dataloader.batch_size'}


def test_no_options(cfg):
    before = cfg.to_dict()
    apply_cfg_options(cfg, None)
    assert cfg.to_dict() == before


def test_data_root_of_a_config_without_one():
    cfg = Config(dict(train_dataloader=dict(dataset=dict(type='X'))))
    with pytest.raises(ValueError, match='no top-level "data_root"'):
        apply_cfg_options(cfg, dict(data_root='/elsewhere'))


@pytest.mark.parametrize('text, value', [
    ('a=/my photos/camvid', '/my photos/camvid'),
    ('a="/my photos"', '/my photos'),
    ('a=/camvid', '/camvid'),
    ('a=/street scenes (old)/1,2', '/street scenes (old)/1,2'),
    ("a=['/x/y','/z']", ['/x/y', '/z']),
    ('a=3', 3),
    ('a=0.5', 0.5),
    ('a=None', None),
    ('a="[(1, 2), (3, 4)]"', [(1, 2), (3, 4)]),
    ('a=1,2', [1, 2]),
])
def test_cfg_options_are_parsed_as_by_mmengine_but_for_blanks(text, value):
    parser = argparse.ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=CfgOptionsAction)
    args = parser.parse_args(['--cfg-options', text])
    assert args.cfg_options == dict(a=value)


def test_numbers_above_0():
    assert positive('3') == 3
    for text in ('0', '-1', '1.5', 'abc', ''):
        with pytest.raises(argparse.ArgumentTypeError, match=(
                f"^'{text}' should be a number above 0$")):
            positive(text)


def test_sync_bn_becomes_bn():
    cfg = Config(dict(
        sync_bn='torch',
        model=dict(
            backbone=dict(norm_cfg=dict(type='SyncBN', requires_grad=True)),
            heads=[dict(norm_cfg=dict(type='SyncBN')),
                   dict(norm_cfg=dict(type='GN', num_groups=4))])))
    revert_sync_bn(cfg)
    assert cfg.sync_bn is None
    assert cfg.model.backbone.norm_cfg == dict(type='BN', requires_grad=True)
    assert cfg.model.heads[0].norm_cfg == dict(type='BN')
    assert cfg.model.heads[1].norm_cfg == dict(type='GN', num_groups=4)


def test_a_single_process_starts_no_group():
    cfg = Config(dict(
        launcher='none', model=dict(norm_cfg=dict(type='SyncBN'))))
    init_cpu_distributed(cfg)
    assert not torch.distributed.is_initialized()
    assert 'model_wrapper_cfg' not in cfg
    assert cfg.model.norm_cfg.type == 'SyncBN'  # Runner reverts the model


@without_gpu
def test_own_model_wrapper_is_kept(monkeypatch):
    monkeypatch.setattr(environment.torch_dist, 'is_initialized', lambda: True)
    cfg = Config(dict(
        launcher='pytorch', model=dict(),
        model_wrapper_cfg=dict(
            type='MMSeparateDistributedDataParallel',
            find_unused_parameters=True)))
    init_cpu_distributed(cfg)
    assert cfg.model_wrapper_cfg == dict(
        type='MMSeparateDistributedDataParallel',
        find_unused_parameters=True, device_ids=None)


@pytest.fixture
def clean_environ(monkeypatch):
    for name in ('RANK', 'WORLD_SIZE', 'LOCAL_RANK', 'MASTER_ADDR',
                 'MASTER_PORT'):
        monkeypatch.setenv(name, '')  # restored afterwards, whatever happens
        monkeypatch.delenv(name)
    return monkeypatch


def test_slurm_variables(clean_environ, tmp_path):
    scontrol = tmp_path / 'scontrol'
    scontrol.write_text(
        '#!/bin/sh\n[ "$1 $2 $3" = "show hostname node[7-8]" ] || exit 1\n'
        'echo node7\necho node8\n')
    scontrol.chmod(scontrol.stat().st_mode | stat.S_IXUSR)
    clean_environ.setenv('PATH', f'{tmp_path}:{os.environ["PATH"]}')
    clean_environ.setenv('SLURM_NTASKS', '4')
    clean_environ.setenv('SLURM_PROCID', '3')
    clean_environ.setenv('SLURM_LOCALID', '1')
    clean_environ.setenv('SLURM_NODELIST', 'node[7-8]')
    environment._export_rank('slurm')
    assert os.environ['WORLD_SIZE'] == '4'
    assert os.environ['RANK'] == '3'
    assert os.environ['LOCAL_RANK'] == '1'
    assert os.environ['MASTER_ADDR'] == 'node7'
    assert os.environ['MASTER_PORT'] == '29500'


def test_open_mpi_variables(clean_environ):
    clean_environ.setenv('OMPI_COMM_WORLD_SIZE', '2')
    clean_environ.setenv('OMPI_COMM_WORLD_RANK', '1')
    clean_environ.setenv('OMPI_COMM_WORLD_LOCAL_RANK', '1')
    clean_environ.setenv('MASTER_PORT', '1234')
    environment._export_rank('mpi')
    assert os.environ['RANK'] == '1' and os.environ['WORLD_SIZE'] == '2'
    assert os.environ['MASTER_PORT'] == '1234'


PAGE_FAULTS = """
import ctypes, resource, sys
from mmseg_ssl.engine.environment import keep_freed_memory
if sys.argv[1] == 'keep':
    assert keep_freed_memory()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.malloc.argtypes = [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
libc.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
size = 64 << 20
for i in range(6):
    if i == 1:
        start = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    block = libc.malloc(size)
    libc.memset(block, 1, size)
    libc.free(block)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - start)
"""


def page_faults(mode: str, **env: str) -> int:
    """Page faults of using a block of 64 MiB five times."""
    inherited = {k: v for k, v in os.environ.items()
                 if not k.startswith('MALLOC_')}
    process = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', PAGE_FAULTS, mode],
        env={**inherited, **env}, capture_output=True, text=True, timeout=120)
    assert process.returncode == 0, process.stderr
    return int(process.stdout.splitlines()[-1])


@without_gpu
@pytest.mark.skipif(environment.platform.libc_ver()[0] != 'glibc',
                    reason='about glibc')
def test_freed_memory_is_used_again():
    pages = 5 * (64 << 20) // os.sysconf('SC_PAGE_SIZE')
    default, kept = page_faults('default'), page_faults('keep')
    # transparent huge pages may make one fault out of 512
    assert default >= pages // 512
    assert kept < default / 10


def test_the_users_own_malloc_settings_stand(monkeypatch):
    monkeypatch.setenv('MALLOC_ARENA_MAX', '2')
    assert environment.keep_freed_memory() is False


def test_nothing_is_changed_beside_a_gpu(monkeypatch):
    monkeypatch.setattr(environment, 'get_device', lambda: 'cuda')
    assert environment.keep_freed_memory() is False
