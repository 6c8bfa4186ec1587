"""Every jigsaw config builds; proxy and transfer run one after the other."""
import copy
import functools
import re
import uuid
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from mmseg.registry import DATASETS, MODELS
from PIL import Image

from mmseg_ssl.backbones.blocks import BLOCKS
from mmseg_ssl.datasets.scenes import paint_scene
from mmseg_ssl.methods.jigsaw import JigsawModel

CONFIG_DIR = Path(__file__).resolve().parents[3] / 'configs/jigsaw'
CONFIGS = sorted(CONFIG_DIR.glob('*.py'))
CAMVID = '_camvid-180x240'


@functools.cache
def read(path: Path) -> Config:
    return Config.fromfile(path)


@functools.cache
def model_of(path: Path) -> torch.nn.Module:
    """The model of a config, without memory for its weights."""
    with torch.device('meta'):
        return MODELS.build(copy.deepcopy(read(path).model))


def test_configs_are_found():
    names = ' '.join(path.stem for path in CONFIGS)
    assert len(CONFIGS) >= 25
    for part in ('3x3_mbv2', '5x5_mbv2', '5x5-115_', '5x5-192_', 'alexnet',
                 'vgg16', 'r50', 'permutation', 'transfer-none', 'fcn32s',
                 'deeplabv3plus', 'voc12aug', 'msrc21', '-50l'):
        assert part in names


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_builds_and_agrees_with_its_name(path):
    cfg, model = read(path), model_of(path)
    batch_size, schedule = re.search(r'_1xb(\d+)-(\d+)k_', path.stem).groups()
    assert cfg.train_dataloader.batch_size == int(batch_size)
    assert cfg.train_cfg.max_iters == 1000 * int(schedule)
    # padded, so that every cell of FCN-32s has its 32 pixels
    stride = 32 if 'fcn32s' in path.stem else 1
    assert tuple(cfg.model.data_preprocessor.size) == tuple(
        -(-side // stride) * stride for side in cfg.crop_size)
    assert isinstance(model, JigsawModel) == ('transfer' not in path.stem)
    if 'x5' in path.stem and isinstance(model, JigsawModel):
        assert model.grid == 5


@pytest.mark.parametrize('path', [
    path for path in CONFIGS if 'transfer' not in path.stem],
    ids=lambda path: path.stem)
def test_every_patch_has_a_cell(path):
    """The crop, the grid and the stride of a proxy task fit together."""
    cfg, model = read(path), model_of(path)
    model.eval()
    crop = torch.empty(1, 3, *cfg.crop_size, device='meta')
    position = torch.empty(1, model.grid**2, dtype=torch.long, device='meta')
    logits = model.solve(model.make_puzzles(crop, position))
    assert logits.size(-1) == cfg.model.get('num_permutations', model.grid**2)
    assert cfg.val_evaluator.type == (
        'PermutationAccuracy' if 'permutation' in path.stem
        else 'PatchAccuracy')


@pytest.mark.parametrize('path', [
    path for path in CONFIGS if 'transfer' in path.stem],
    ids=lambda path: path.stem)
def test_transfer_starts_from_a_config_that_exists(path):
    cfg = read(path)
    start = cfg.model.transfer.checkpoint
    if 'transfer-none' in path.stem:
        assert start is None
    else:
        proxy = CONFIG_DIR / (Path(start).parent.name + '.py')
        assert proxy in CONFIGS
        kind, length = re.match(
            r'jigsaw-transfer-(.+?)(?:-freeze.*?)?(?:-(\d+k))?_',
            path.stem).groups()
        assert proxy.stem.startswith(f'jigsaw-{kind}_')
        assert length is None or f'-{length}_' in proxy.stem
        weights = model_of(proxy).state_dict()
        own = model_of(path).backbone.state_dict()
        for name, value in own.items():
            assert weights[f'backbone.{name}'].shape == value.shape, name
    assert cfg.model.decode_head.num_classes == cfg.num_classes == len(
        DATASETS.get(cfg.dataset_type).METAINFO['classes'])


def test_puzzles_start_from_the_end_of_a_config_that_exists():
    starts = 0
    for path in CONFIGS:
        start = read(path).model.backbone.get('init_cfg')
        if 'transfer' in path.stem or not start:
            continue
        proxy = CONFIG_DIR / (Path(start.checkpoint).parent.name + '.py')
        assert Path(start.checkpoint).name == (
            f'iter_{read(proxy).train_cfg.max_iters}.pth')
        weights = model_of(proxy).state_dict()
        for name, value in model_of(path).backbone.state_dict().items():
            assert weights[start.prefix + name].shape == value.shape, name
        starts += 1
    assert starts == 1  # 5x5-60-from-3x3


def test_cells_of_table_2_freeze_what_they_are_called():
    cells = {}
    for path in CONFIGS:
        name = re.search(r'-freeze(\d+)(-random)?_', path.stem)
        if name:
            transfer = read(path).model.transfer
            frozen = [f'block{digit}' for digit in name[1]]
            rest = [block for block in BLOCKS if block not in frozen]
            assert list(transfer['freeze']) == frozen
            assert list(transfer['random']) == (rest if name[2] else [])
            cells[path.stem] = name
    assert len(cells) == 8


@pytest.mark.parametrize('path', [
    path for path in CONFIGS if re.search(r'-50l-s\d', path.stem)],
    ids=lambda path: path.stem)
def test_seeds_have_their_own_labels(path):
    cfg, seed = read(path), int(path.stem[-1])
    assert cfg.randomness.seed == seed
    dataset = cfg.train_dataloader.dataset
    assert dataset.ann_file.endswith(f'camvid/50-seed{seed}.txt')
    first = read(path.with_name(path.name.replace(f'-s{seed}', '')))
    assert cfg.model == first.model


# --- runs -------------------------------------------------------------------


@pytest.fixture
def camvid(tmp_path) -> Path:
    """A tiny data root in the layout of CamVid."""
    rng = np.random.default_rng(0)
    listed = (CONFIG_DIR.parent / '_base_/splits/camvid/50-seed0.txt')
    names = {'train': listed.read_text().split()[:4], 'val': ['a', 'b', 'c']}
    for split, stems in names.items():
        for stem in stems:
            image, labels = paint_scene(180, 240, rng)
            for folder, pixels, suffix in (('img_dir', image, '.jpg'),
                                           ('ann_dir', labels, '.png')):
                file = tmp_path / folder / split / (stem + suffix)
                file.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(file)
    (tmp_path / 'four.txt').write_text('\n'.join(names['train']))
    return tmp_path


def small_bn(node: object) -> None:
    """SyncBN needs a GPU and several processes."""
    if isinstance(node, dict):
        if node.get('type') == 'SyncBN':
            node['type'] = 'BN'
        node = list(node.values())
    if isinstance(node, (list, tuple)):
        for child in node:
            small_bn(child)


@pytest.fixture
def load(camvid, tmp_path):
    """A config that runs two iterations on the tiny data root."""

    def make(name: str, **options) -> Config:
        cfg = Config.fromfile(CONFIG_DIR / f'{name}.py')
        cfg = Config(cfg.to_dict(), cfg_text=cfg.text, filename=cfg.filename,
                     format_python_code=False)
        small_bn(cfg.model)
        for loader in (cfg.train_dataloader, cfg.val_dataloader,
                       cfg.test_dataloader):
            loader.update(num_workers=0, persistent_workers=False)
            loader.dataset.update(data_root=str(camvid), serialize_data=False)
        if cfg.train_dataloader.dataset.get('ann_file'):
            cfg.train_dataloader.dataset.ann_file = str(camvid / 'four.txt')
        cfg.train_dataloader.batch_size = 2
        cfg.train_cfg.update(max_iters=2, val_interval=2)
        cfg.default_hooks.checkpoint.update(interval=2)
        cfg.model.backbone.widen_factor = 0.25
        cfg.work_dir = str(tmp_path / 'work' / name)
        cfg.experiment_name = cfg.visualizer.name = uuid.uuid4().hex
        cfg.log_level = 'WARNING'
        cfg.merge_from_dict(options)
        return cfg

    return make


def run(cfg: Config) -> Runner:
    runner = Runner.from_cfg(cfg)
    runner.train()
    return runner


def test_a_proxy_task_and_the_segmentation_that_starts_from_it(load):
    proxy = run(load('jigsaw-3x3_mbv2-w75_1xb16-2k' + CAMVID))
    scalars = proxy.message_hub.get_scalar
    assert 0 <= scalars('val/movable_acc').current() <= 100
    assert torch.isfinite(torch.tensor(scalars('train/loss').data[0])).all()
    assert list(Path(proxy.work_dir).glob('best_movable_acc*'))

    cfg = load(
        'jigsaw-transfer-3x3_mbv2-w75-d32-deeplabv3plus_1xb8-1k' + CAMVID
        + '-50l')
    cfg.model.transfer.update(
        checkpoint=f'{proxy.work_dir}/iter_2.pth',
        freeze=['block1', 'block2'], random=['block5'])
    cfg.model.decode_head.update(c1_in_channels=8, in_channels=80)
    segmentation = run(cfg)
    learned = proxy.model.backbone.state_dict()
    for name, value in segmentation.model.backbone.state_dict().items():
        frozen = name.startswith(('conv1.', 'layer1.', 'layer2.'))
        if not name.endswith('num_batches_tracked'):
            assert torch.equal(value, learned[name]) == frozen, name
    assert segmentation.message_hub.get_scalar('val/mIoU').current() >= 0


def test_the_permutation_task_runs(load):
    cfg = load('jigsaw-permutation_alexnet_1xb32-2k' + CAMVID)
    cfg.model.backbone.pop('widen_factor')
    cfg.model.backbone.channels = (8, 8, 8, 8, 8)
    cfg.model.head.in_channels = 8
    cfg.train_dataloader.batch_size = 2
    scalar = run(cfg).message_hub.get_scalar('val/permutation_acc')
    assert 0 <= scalar.current() <= 100
