"""Every config of Mix-and-Match builds; the stages fit and run in a row."""
import copy
import functools
import itertools
import re
import uuid
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from mmseg.registry import DATASETS, MODELS

from mmseg_ssl.backbones import receptive_fields
from mmseg_ssl.methods.mix_and_match import (
    MixAndMatch,
    class_connected_triplets,
    random_triplets,
)

CONFIG_ROOT = Path(__file__).resolve().parents[3] / 'configs'
CONFIG_DIR = CONFIG_ROOT / 'mix_and_match'
CONFIGS = sorted(CONFIG_DIR.glob('*.py'))
TUNING = [path for path in CONFIGS if 'finetune' not in path.stem]
FINETUNING = [path for path in CONFIGS if 'finetune' in path.stem]


@functools.cache
def read(path: Path) -> Config:
    return Config.fromfile(path)


@functools.cache
def model_of(path: Path) -> torch.nn.Module:
    """The model of a config, without memory for its weights."""
    with torch.device('meta'):
        return MODELS.build(copy.deepcopy(read(path).model))


def name_of(path: Path) -> str:
    return path.stem


def setting(path: Path) -> tuple[int, int, int]:
    """GPUs, batch size and thousands of updates in the name of a config."""
    return tuple(map(int, re.search(
        r'_(\d)xb(\d+)-(\d+)k_', path.stem).groups()))


def test_configs_are_found():
    names = ' '.join(map(name_of, CONFIGS))
    assert len(TUNING) >= 15 and len(FINETUNING) >= 10
    for part in ('random', 'n40_', 'n200', 'm21_', '-s2', 'r18', 'mbv2',
                 'camvid', 'voc12aug', 'cityscapes', 'vgg16-grey',
                 'alexnet-grey'):
        assert part in names


@pytest.mark.parametrize('path', TUNING, ids=name_of)
def test_tuning_agrees_with_its_name(path):
    cfg, model = read(path), model_of(path)
    assert isinstance(model, MixAndMatch)
    _, batch_size, thousands = setting(path)
    assert cfg.train_dataloader.batch_size == batch_size
    assert cfg.train_cfg.max_iters == 1000 * thousands
    small = re.search('msrc21|camvid', path.stem)
    assert model.loss_triplet.margin == (
        0.5 if small and '-m21' not in path.stem else 2.1)
    assert model.draw_triplets is (
        random_triplets if 'random' in path.stem else class_connected_triplets)
    assert max(cfg.model.patches.size_range) <= min(cfg.crop_size)
    assert tuple(cfg.model.data_preprocessor.size) == tuple(cfg.crop_size)
    num_nodes = batch_size * cfg.model.patches.num_per_image
    expected = re.search(r'-n(\d+)_', path.stem)
    if expected:
        assert num_nodes == int(expected[1])
    elif 'voc12aug' in path.stem or 'cityscapes' in path.stem:
        assert num_nodes == (400 if 'alexnet' in path.stem else 144)
        assert cfg.model.patches.get('background') == (
            0 if 'voc12aug' in path.stem else None)
    assert cfg.default_hooks.checkpoint.save_best == 'nn_acc'

    model.eval()  # maps as the paper's, 3 x 3 cells or a few more
    side = cfg.model.patches.out_size
    maps = model.backbone(torch.empty(2, 3, side, side, device='meta'))
    last = maps if isinstance(maps, torch.Tensor) else maps[model.in_index]
    assert 2 <= last.size(2) <= 4


@pytest.mark.parametrize('path', FINETUNING, ids=name_of)
def test_finetuning_agrees_with_its_name(path):
    cfg, model = read(path), model_of(path)
    gpus, batch_size, thousands = setting(path)
    assert cfg.train_dataloader.batch_size == batch_size
    updates = cfg.optim_wrapper.get('accumulative_counts', 1)
    assert cfg.train_cfg.max_iters == 1000 * thousands * updates
    if thousands == 40:
        assert gpus * batch_size * updates == (
            64 if 'alexnet' in path.stem else 48)
        assert [m // updates for m in cfg.param_scheduler[0].milestones] == [
            24000, 36000]
    assert cfg.model.decode_head.num_classes == cfg.num_classes == len(
        DATASETS.get(cfg.dataset_type).METAINFO['classes'])
    size = cfg.model.data_preprocessor.size
    assert all(a >= b for a, b in zip(size, cfg.crop_size))
    assert cfg.model.data_preprocessor.seg_pad_val == 255
    assert type(model.backbone).__name__ in ('CaffeAlexNet', 'LayeredVGG')

    model.eval()
    maps = model.backbone(torch.empty(1, 3, *size, device='meta'))
    channels = [x.size(1) for x in maps]
    expected = cfg.model.decode_head.in_channels
    assert channels == ([expected] if isinstance(expected, int)
                        else list(expected))
    if 'fcn' in path.stem:
        cells_share_the_image(cfg, model.backbone, maps[0], size)
    else:
        assert_grids_are_receptive_fields(cfg, model.backbone)


def cells_share_the_image(cfg, backbone, fc7, size) -> None:
    """The logits are resized evenly: cells must lie where that takes them."""
    field = receptive_fields(backbone, channels=backbone.in_channels)['fc7'][0]
    assert abs(field.offset - (field.stride - 1) / 2) <= 0.5
    assert [n * field.stride for n in fc7.shape[2:]] == list(size)
    assert cfg.model.data_preprocessor.test_cfg.size_divisor == field.stride


def assert_grids_are_receptive_fields(cfg, backbone) -> None:
    fields = receptive_fields(backbone, channels=backbone.in_channels)
    names = [f'vgg.features.{backbone.layers[name]}' if name in backbone.layers
             else name for name in backbone.out_layers]
    assert [tuple(grid) for grid in cfg.model.decode_head.grids] == [
        (fields[name][0].stride, fields[name][0].offset) for name in names]


def test_patches_show_objects_about_as_large_as_fine_tuning():
    """Geometric mean of out_size / side, sides being uniform."""
    for path in TUNING:
        patches = read(path).model.patches
        low, high = patches.size_range
        sides = torch.arange(low, high + 1).double()
        zoom = (patches.out_size / sides).log().mean().exp()
        assert 0.8 < zoom < 1.25, path.stem


def test_few_patches_come_from_one_image():
    """In the small configs, too, most of a graph is other images."""
    for path in TUNING:
        cfg = read(path)
        assert cfg.train_dataloader.batch_size >= 10
        if 'w50' in path.stem:
            assert cfg.model.patches.num_per_image == 4


PROXIES = sorted([
    *(CONFIG_ROOT / 'colorization').glob('*.py'),
    *(CONFIG_ROOT / 'jigsaw').glob('jigsaw-permutation_*.py')])


def backbone_shapes(path: Path) -> dict[str, torch.Size]:
    return {name: value.shape
            for name, value in model_of(path).backbone.state_dict().items()}


CHAINS = [
    ('colorization_alexnet-w50_1xb16-2k_msrc21-112x112',
     'mix-and-match_alexnet-w50_1xb25-1k_msrc21-112x112',
     'mix-and-match-finetune_alexnet-w50-fcn_1xb8-1k_msrc21-112x112'),
    ('jigsaw-permutation_alexnet-w50_1xb32-2k_msrc21-180',
     'mix-and-match-random_alexnet-w50_1xb25-1k_msrc21-112x112',
     'mix-and-match-finetune_alexnet-w50-fcn_1xb8-1k_msrc21-112x112'),
    ('mix-and-match_alexnet-w50_1xb25-1k_camvid-120x160',
     'mix-and-match-finetune_alexnet-w50-fcn_1xb8-1k_camvid-120x160'),
    ('colorization_alexnet_1xb16-100k_imagenet',
     'mix-and-match_alexnet-grey_1xb40-8k_voc12aug-512x512',
     'mix-and-match-finetune_alexnet-grey-fcn_1xb16-40k_voc12aug-512x512'),
    ('jigsaw-permutation_alexnet_1xb64-50k_voc12test',
     'mix-and-match_alexnet_1xb40-8k_voc12aug-512x512',
     'mix-and-match-finetune_alexnet-fcn_1xb16-40k_voc12aug-512x512'),
    ('colorization_alexnet_1xb16-100k_imagenet',
     'mix-and-match_alexnet-grey_1xb40-8k_cityscapes-512x512',
     'mix-and-match-finetune_alexnet-grey-fcn_1xb16-40k_cityscapes-512x512'),
    ('jigsaw-permutation_alexnet_1xb64-50k_voc12test',
     'mix-and-match_alexnet_1xb40-8k_cityscapes-512x512',
     'mix-and-match-finetune_alexnet-fcn_1xb16-40k_cityscapes-512x512'),
    *(('jigsaw-permutation_vgg16_1xb64-50k_voc12test',
       f'mix-and-match_vgg16_4xb16-8k_{data}-512x512',
       f'mix-and-match-finetune_vgg16-hypercolumn_4xb6-40k_{data}-512x512')
      for data in ('voc12aug', 'cityscapes')),
    *(('colorization_vgg16_1xb16-100k_imagenet',
       f'mix-and-match_vgg16-grey_4xb16-8k_{data}-512x512',
       f'mix-and-match-finetune_vgg16-grey-hypercolumn_4xb6-40k_{data}-512x512'
       ) for data in ('voc12aug', 'cityscapes')),
    *((f'mix-and-match_vgg16_4xb16-8k_{data}-512x512',
       f'mix-and-match-finetune_vgg16-hypercolumn_4xb6-40k_{data}-512x512')
      for data in ('voc12aug', 'cityscapes')),
]


@pytest.mark.parametrize('chain', CHAINS, ids=lambda chain: chain[0])
def test_stages_have_one_backbone(chain):
    """Convolutions up to pool5 have the same names and shapes."""
    found = {path.stem: path for path in (*CONFIGS, *PROXIES)}
    stages = [backbone_shapes(found[name]) for name in chain]
    for before, after in itertools.pairwise(stages):
        shared = before.keys() & after.keys()
        assert all(before[name] == after[name] for name in shared)
        fresh = [name for name in after if name not in before]
        assert all('fc' in name or 'bn' in name or name.endswith('bias')
                   for name in fresh), fresh
        assert sum('conv' in name for name in shared) >= 5


def test_tuning_fits_before_reco():
    tuned = backbone_shapes(
        CONFIG_DIR / 'mix-and-match_mbv2-d16_1xb20-1k_camvid-120x160-20l.py')
    path, = (CONFIG_ROOT / 'reco').glob(
        'reco-classmix_mbv2-*_camvid-120x160-20l.py')
    assert read(path).model.segmentor.backbone.type == 'MobileNetV2'
    student = model_of(path).student.backbone.state_dict()
    assert {name: value.shape for name, value in student.items()} == tuned
    images = (read(path).train_dataloader.dataset.labeled.ann_file,
              read(CONFIG_DIR / 'mix-and-match_mbv2-d16_1xb20-1k_'
                   'camvid-120x160-20l.py').train_dataloader.dataset.ann_file)
    assert images[0].split('splits')[1] == images[1].split('splits')[1]


@pytest.mark.parametrize('path', [
    path for path in CONFIGS if path.stem in (
        'mix-and-match_alexnet-w50_1xb25-1k_msrc21-112x112',
        'mix-and-match-finetune_alexnet-w50-fcn_1xb8-1k_camvid-120x160')],
    ids=name_of)
def test_takes_steps(path, shrunken_config):
    cfg = shrunken_config(path)
    cfg.train_cfg = dict(
        type='IterBasedTrainLoop', max_iters=2, val_interval=2)
    if 'patches' in cfg.model:
        cfg.model.patches.update(num_per_image=4, size_range=(12, 30))
    cfg.experiment_name = cfg.visualizer.name = uuid.uuid4().hex
    runner = Runner.from_cfg(cfg)
    runner.model.init_weights()
    before = {name: p.detach().clone()
              for name, p in runner.model.named_parameters()}
    runner.train()
    still = [name for name, p in runner.model.named_parameters()
             if torch.equal(p, before[name])]
    assert still == []
    metric = 'nn_acc' if 'patches' in cfg.model else 'mIoU'
    assert runner.message_hub.get_scalar(f'val/{metric}').current() >= 0
