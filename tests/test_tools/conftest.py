import os
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]

TINY = """
_base_ = ['{runtime}']
num_classes = 3
data_root = '{data_root}'
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs'),
]
test_pipeline = train_pipeline
labeled_dataset = dict(
    type='BaseSegDataset',
    data_root=data_root,
    data_prefix=dict(img_path='img_dir/train', seg_map_path='ann_dir/train'),
    metainfo=dict(
        classes=('sky', 'hill', 'road'),
        palette=[[10, 10, 200], [10, 150, 10], [90, 90, 90]]),
    pipeline=train_pipeline)
train_dataloader = dict(
    batch_size=2,
    num_workers=0,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(type='ConcatDataset', datasets=[labeled_dataset]))
val_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='BaseSegDataset',
        data_root=data_root,
        data_prefix=dict(img_path='img_dir/val', seg_map_path='ann_dir/val'),
        metainfo=labeled_dataset['metainfo'],
        pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'], prefix=None)
test_evaluator = val_evaluator
tta_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='TestTimeAug',
        transforms=[
            [dict(type='RandomFlip', prob=p) for p in (0., 1.)],
            [dict(type='LoadAnnotations')],
            [dict(type='PackSegInputs')],
        ]),
]
norm_cfg = dict(type='SyncBN')
model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(
        type='SegDataPreProcessor', size=(32, 48), seg_pad_val=255),
    backbone=dict(
        type='ResNet', depth=18, base_channels=8, num_stages=2,
        strides=(1, 2), dilations=(1, 1), out_indices=(1,),
        norm_cfg=norm_cfg),
    decode_head=dict(
        type='FCNHead', in_channels=16, in_index=0, channels=8, num_convs=1,
        concat_input=False, num_classes=num_classes, norm_cfg=norm_cfg),
    test_cfg=dict(mode='whole'))
optim_wrapper = dict(
    type='OptimWrapper', optimizer=dict(type='SGD', lr=0.01, momentum=0.9))
train_cfg = dict(type='IterBasedTrainLoop', max_iters=4, val_interval=2)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
default_hooks = dict(
    logger=dict(interval=1), checkpoint=dict(interval=2, max_keep_ckpts=3))
"""


def write_dataset(root: Path, per_split: int = 4) -> None:
    """Three bands of colour with noise, in mmseg's layout."""
    rng = np.random.default_rng(0)
    label = np.repeat(np.arange(3, dtype=np.uint8), [10, 10, 12])
    label = np.tile(label[:, None], (1, 48))
    colours = np.array([[10, 10, 200], [10, 150, 10], [90, 90, 90]])
    for split in ('train', 'val'):
        (root / 'img_dir' / split).mkdir(parents=True)
        (root / 'ann_dir' / split).mkdir(parents=True)
        for i in range(per_split):
            image = colours[label] + rng.integers(0, 40, (32, 48, 3))
            image = Image.fromarray(image.astype(np.uint8))
            image.save(root / 'img_dir' / split / f'{i}.jpg')
            Image.fromarray(label).save(
                root / 'ann_dir' / split / f'{i}.png')


@pytest.fixture(scope='session')
def tiny_config(tmp_path_factory) -> Path:
    """A config whose data root does not exist, and its data beside it."""
    folder = tmp_path_factory.mktemp('tiny')
    write_dataset(folder / 'data')
    path = folder / 'tiny.py'
    path.write_text(TINY.format(
        runtime=ROOT / 'configs/_base_/default_runtime.py',
        data_root=folder / 'nowhere'))
    Config.fromfile(path)
    return path


@pytest.fixture(scope='session')
def run_tool():
    """Call a command line of the project; returns (exit code, output)."""

    def run(*command, timeout=300, **env) -> tuple[int, str]:
        process = subprocess.run(
            [str(part) for part in command], stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=timeout, cwd=ROOT,
            env={**os.environ, 'PYTHONPATH': str(ROOT), 'PYTHON':
                 sys.executable, **env})
        return process.returncode, process.stdout

    return run


@pytest.fixture
def call_main(monkeypatch):
    """Call the ``main`` of a tool in this process, which saves its imports."""

    def call(tool: str, *arguments) -> None:
        monkeypatch.setattr(
            sys, 'argv', [tool, *(str(part) for part in arguments)])
        runpy.run_path(str(ROOT / tool))['main']()

    return call
