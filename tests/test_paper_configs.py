"""The configs at the sizes of the papers: VOC, Cityscapes and SUN RGB-D.

That those of Mix-and-Match, colorization and jigsaw agree with their names is
tested beside their methods.
"""
import copy
import functools
import re
import uuid
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import DATASETS, MODELS

from mmseg_ssl.datasets.conversion import (
    convert_cityscapes,
    convert_sunrgbd,
    convert_voc12aug,
)
from mmseg_ssl.datasets.partial_labels import (
    PartialLabelsSpec,
    write_partial_labels,
)
from mmseg_ssl.engine.environment import apply_cfg_options

CONFIG_DIR = Path(__file__).resolve().parents[1] / 'configs'
FOLDERS = ('supervised', 'mean_teacher', 's4gan', 'reco')
CONFIGS = sorted(path for folder in FOLDERS
                 for path in (CONFIG_DIR / folder).glob('*_r101-*.py'))
# One for each method, backbone, head and loss; all datasets among them.
STEPS = [
    'supervised_r101-d16-deeplabv3plus_1xb20-40k_voc12aug',
    'supervised_r101-d8-deeplabv2_1xb4-40k_cityscapes-100l',
    'mean-teacher-cutmix_r101-d16-deeplabv3plus_1xb2-40k_cityscapes-20l',
    'mean-teacher-classmix_r101-d8-deeplabv2_1xb10-40k_voc12aug-100l',
    's4gan_r101-d16-deeplabv3plus_1xb5-40k_sunrgbd-50l',
    'reco_r101-d16-deeplabv3plus_1xb10-40k_sunrgbd',
    'reco-classmix_r101-d16-deeplabv3plus_1xb10-40k_voc12aug-60l',
    'reco-classmix_r101-d16-deeplabv3plus_1xb2-40k_cityscapes-20l-bank',
    'reco-classmix_r101-d8-deeplabv2_1xb2-40k_cityscapes-100l',
    'mean-teacher-classmix_r101-d16-deeplabv3plus_1xb10-40k_voc12aug-partial',
    'reco-classmix_r101-d16-deeplabv3plus_1xb2-40k_cityscapes-partial',
]
CROP = 65


@functools.cache
def read(path: Path) -> Config:
    return Config.fromfile(path)


def segmentor_of(model: dict) -> dict:
    return model.get('segmentor', model)


def architecture(path: Path) -> tuple:
    model = read(path).model
    head = segmentor_of(model).decode_head
    contrast = model.get('loss_contrast', head.get('loss_contrast', {}))
    return (model.type, segmentor_of(model).backbone.strides,
            head.type, head.get('head', {}).get('type'), contrast.get('type'))


def name_of(path: Path) -> str:
    return path.stem


def test_configs_are_found():
    methods = {path.stem.split('_')[0] for path in CONFIGS}
    assert methods == {
        'supervised', 'mean-teacher', 'mean-teacher-cutout',
        'mean-teacher-cutmix', 'mean-teacher-classmix', 's4gan', 'reco',
        'reco-cutout', 'reco-cutmix', 'reco-classmix'}
    assert {path.stem.split('_')[3].split('-')[0] for path in CONFIGS} == {
        'voc12aug', 'cityscapes', 'sunrgbd'}


@pytest.mark.parametrize('path', CONFIGS, ids=name_of)
def test_builds_and_agrees_with_its_name(path):
    cfg = read(path)
    with torch.device('meta'):
        model = MODELS.build(copy.deepcopy(cfg.model))
    assert not any(p.numel() and not p.is_meta for p in model.parameters())

    method, net, setting, data, *_ = path.stem.split('_')
    batch, schedule = re.fullmatch(r'1xb(\d+)-(\d+)k', setting).groups()
    assert cfg.train_dataloader.batch_size == int(batch)
    assert cfg.train_cfg.max_iters == 1000 * int(schedule)
    segmentor = segmentor_of(cfg.model)
    strides = segmentor.backbone.strides
    assert net.startswith(f'r101-d{4 * strides[1] * strides[2] * strides[3]}-')
    head = segmentor.decode_head.get('head', segmentor.decode_head)
    assert head.num_classes == cfg.num_classes == len(
        DATASETS.get(cfg.dataset_type).METAINFO['classes'])
    assert tuple(segmentor.data_preprocessor.size) == tuple(cfg.crop_size)
    mixing = next((mix for mix in ('cutout', 'cutmix', 'classmix')
                   if method.endswith(mix)), None)
    assert cfg.model.get('mixing') == mixing
    labels = re.search(r'-(\d+)l', data)
    wanted = (f'{labels[1]}-seed0' if labels else
              'trainaug' if data.startswith('voc12aug') else '')
    assert Path(cfg.labeled_list).stem == wanted
    dataset = cfg.train_dataloader.dataset
    assert dataset.get('labeled', dataset).ann_file == cfg.labeled_list


@pytest.mark.parametrize('data, batch, crop, scale', [
    ('voc12aug', 10, 321, (0.5, 1.5)), ('cityscapes', 2, 512, (1.0, 1.0)),
    ('sunrgbd', 5, 321, (0.5, 1.5))])
def test_the_settings_of_the_paper(data, batch, crop, scale):
    """Appendix A of ReCo; supervised training doubles the batch."""
    path, = CONFIG_DIR.glob(
        f'reco/reco-classmix_r101-d16-*_{data}-[0-9][0-9]l.py')
    cfg = read(path)
    loss = MODELS.build(copy.deepcopy(cfg.model.loss_contrast))
    assert (loss.num_queries, loss.num_keys, loss.temperature) == (
        256, 512, 0.5)
    assert (loss.strong_threshold, cfg.model.strong_threshold,
            cfg.model.weak_threshold) == (0.97, 0.97, 0.7)
    head = cfg.model.segmentor.decode_head
    assert (head.tap, head.embed_channels) == ('fusion', 256)
    assert cfg.crop_size == (crop, crop)
    assert tuple(cfg.model.augmentation.scale) == scale
    assert cfg.train_dataloader.batch_size == batch
    assert dict(cfg.optim_wrapper.optimizer) == dict(
        type='SGD', lr=2.5e-3, momentum=0.9, weight_decay=5e-4)
    supervised, = CONFIG_DIR.glob(
        f'supervised/supervised_r101-d16-*_{data}.py')
    assert read(supervised).train_dataloader.batch_size == 2 * batch


def test_every_architecture_takes_a_step_below():
    assert {path.stem for path in CONFIGS} >= set(STEPS)
    tested = {architecture(path) for path in CONFIGS if path.stem in STEPS}
    assert tested == {architecture(path) for path in CONFIGS}
    assert len(tested) == len(STEPS)


@pytest.fixture
def data(tiny_downloads, tmp_path):
    """Data root and list of labelled images, by name of the dataset."""
    convert_voc12aug(tiny_downloads.voc, tiny_downloads.sbd)
    convert_cityscapes(
        tiny_downloads.cityscapes, tmp_path / 'half', (80, 72))
    convert_sunrgbd(tiny_downloads.sunrgbd, tmp_path / 'sunrgbd')
    return dict(
        voc12aug=(tiny_downloads.voc, ['2007_01', '2008_02']),
        cityscapes=(tmp_path / 'half', ['aachen/aachen_000001_000019']),
        sunrgbd=(tmp_path / 'sunrgbd', ['img-000001', 'img-000005']))


def nested_dicts(node: object):
    if isinstance(node, dict):
        yield node
        node = list(node.values())
    if isinstance(node, (list, tuple)):
        for child in node:
            yield from nested_dicts(child)


def write_all_labels_of_a_pixel(cfg: Config) -> None:
    """The partial labels that a config names, from the full ones."""
    prefix = cfg.labeled_dataset.data_prefix.img_path
    full = ('SegmentationClassAug' if prefix == 'JPEGImages' else
            prefix.replace('leftImg8bit', 'gtFine'))
    dataset = DATASETS.build(dict(
        type=cfg.dataset_type, data_root=cfg.data_root,
        ann_file=cfg.labeled_list,
        data_prefix=dict(img_path=prefix, seg_map_path=full)))
    write_partial_labels(
        dataset, PartialLabelsSpec(('p1', ), (0, )),
        Path(cfg.data_root, 'partial_labels'), 'train')


def make_thin(node: dict) -> None:
    """A ResNet-50 of an eighth of the channels, and what follows from it."""
    if node.get('type') == 'ResNet':
        node.update(depth=50, base_channels=8, stem_channels=8,
                    init_cfg=None)
    if node.get('in_channels') == 2048:
        node.update(in_channels=256)
    if 'c1_channels' in node:
        node.update(channels=16, c1_in_channels=32, c1_channels=8)
    if node.get('type') == 'ImageDiscriminator':
        node.update(channels=8)
    if 'size' in node:
        node['size'] = (CROP, CROP)


@pytest.fixture
def load(data, tmp_path):
    """A config that trains a thin network on tiny data, for one step."""

    def make(name: str) -> Config:
        path, = CONFIG_DIR.glob(f'*/{name}.py')
        cfg = Config.fromfile(path)
        cfg = Config(cfg.to_dict(), cfg_text=cfg.text, filename=cfg.filename,
                     format_python_code=False)
        root, listed = data[name.split('_')[3].split('-')[0]]
        options = dict(data_root=str(root))
        if 'seed0' in cfg.labeled_list:
            labeled_list = tmp_path / 'list.txt'
            labeled_list.write_text('\n'.join(listed))
            options['labeled_list'] = str(labeled_list)
        apply_cfg_options(cfg, options)
        if 'partial_labels' in cfg:
            write_all_labels_of_a_pixel(cfg)
        for node in nested_dicts(cfg.model):
            make_thin(node)
        loaders = [cfg.train_dataloader, cfg.val_dataloader,
                   cfg.test_dataloader]
        for node in nested_dicts(loaders):
            if 'scale' in node:
                node['scale'] = (80, 72)
            if 'crop_size' in node:
                node['crop_size'] = (CROP, CROP)
            if 'data_prefix' in node:
                node['serialize_data'] = False
        for loader in loaders:
            loader.update(num_workers=0, persistent_workers=False)
        cfg.train_dataloader.batch_size = 2
        cfg.train_cfg.update(max_iters=1, val_interval=1)
        cfg.default_hooks.checkpoint = None
        cfg.work_dir = str(tmp_path / 'work')
        cfg.experiment_name = cfg.visualizer.name = uuid.uuid4().hex
        cfg.log_level = 'WARNING'
        return cfg

    return make


class Watch(Hook):
    """Keep what training logs, and the weights it starts with."""

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        self.start = {name: p.detach().clone()
                      for name, p in runner.model.named_parameters()}

    def after_train_iter(self, runner, batch_idx, data_batch=None,
                         outputs=None) -> None:
        self.outputs = outputs


@pytest.mark.parametrize('name', STEPS)
def test_takes_a_step(name, load):
    cfg = load(name)
    watch = Watch()
    runner = Runner.from_cfg(cfg)
    runner.register_hook(watch)
    runner.train()

    for key, value in watch.outputs.items():
        assert torch.isfinite(value).all(), key
    assert ('loss_unsup' in watch.outputs) == ('segmentor' in cfg.model)
    assert any('loss_reco' in key for key in watch.outputs) == (
        name.startswith('reco'))
    still = [key for key, p in runner.model.named_parameters()
             if 'conv_seg' in key and torch.equal(p, watch.start[key])]
    assert still == []
    assert runner.message_hub.get_scalar('val/mIoU').current() >= 0


# ------------------ Mix-and-Match: the cells of its tables ------------------

PROXY_TASKS = dict(
    random=None, jigsaw='jigsaw/jigsaw-permutation_{}_1xb64-50k_voc12test',
    colorization='colorization/colorization_{}_1xb16-100k_imagenet')
TUNE = 'mix_and_match/mix-and-match_{}_{}_{}-512x512'
FINETUNE = 'mix_and_match/mix-and-match-finetune_{}-{}_{}_{}-512x512'
SIZES = dict(alexnet=('1xb40-8k', 'fcn', '1xb16-40k'),
             vgg16=('4xb16-8k', 'hypercolumn', '4xb6-40k'))


def stages_of(data: str, net: str, task: str) -> list[Path]:
    """The configs of a cell of Tables 1 and 3, in order."""
    tune, head, finetune = SIZES[net]
    seen = f'{net}-grey' if task == 'colorization' else net
    names = [TUNE.format(seen, tune, data),
             FINETUNE.format(seen, head, finetune, data)]
    if PROXY_TASKS[task]:
        names.insert(0, PROXY_TASKS[task].format(net))
    return [CONFIG_DIR / f'{name}.py' for name in names]


@pytest.mark.parametrize('data', ['voc12aug', 'cityscapes'])
@pytest.mark.parametrize('net', SIZES)
@pytest.mark.parametrize('task', PROXY_TASKS)
def test_the_cells_of_mix_and_match(data, net, task):
    """Sections 3 and 4 of the paper, and the authors' prototxt."""
    *_, tune, finetune = stages = [read(path) for path in stages_of(
        data, net, task)]
    assert len({cfg.model.backbone.type for cfg in stages}) == 1
    grey = [cfg.model.backbone.get('in_channels', 3) for cfg in stages]
    assert set(grey) == {1 if task == 'colorization' else 3}

    patches = tune.model.patches
    assert patches.num_per_image == (10 if net == 'alexnet' else 9)
    assert (tuple(patches.size_range), patches.out_size) == (
        ((64, 256) if data == 'voc12aug' else (128, 128)), 128)
    assert patches.get('background_share') == (
        0.1 if data == 'voc12aug' else None)
    for cfg in (tune, finetune):
        assert cfg.crop_size == (512, 512)
        assert dict(cfg.optim_wrapper.optimizer) == dict(
            type='SGD', lr=0.01, momentum=0.9, weight_decay=5e-4)
        assert cfg.model.backbone.init_cfg[0].type == 'Xavier'
        assert cfg.model.backbone.norm_cfg.type == 'SyncBN'
    assert tune.param_scheduler[0].milestones == [6000]
    assert finetune.server_test.evaluator.type == (
        'VOCSubmission' if data == 'voc12aug' else 'CityscapesSubmission')


def test_the_study_of_the_size_of_graphs():
    paths = [*CONFIG_DIR.glob('mix_and_match/mix-and-match-n*_alexnet-grey*'),
             stages_of('voc12aug', 'alexnet', 'colorization')[1]]
    sizes = sorted(
        read(path).train_dataloader.batch_size
        * read(path).model.patches.num_per_image for path in paths)
    assert sizes == [100, 200, 400]


STAGES = [path for cell in [('voc12aug', 'alexnet', 'colorization'),
                            ('cityscapes', 'vgg16', 'random')]
          for path in stages_of(*cell)]


def make_shallow(model: dict) -> None:
    """As few channels as can be."""
    model.backbone.pop('init_cfg', None)
    if model.backbone.type == 'CaffeAlexNet':
        model.backbone.update(channels=(4, 8, 8, 8, 4), fc_channels=8)
        widths = (4, 8, 8, 8, 4, 8, 8)
    else:
        model.backbone.fc_channels = 8
    head = model.get('decode_head', model.get('head'))
    if head is None:
        return
    if isinstance(head.in_channels, int):
        head.in_channels = 8
    else:
        head.in_channels = (
            widths if model.backbone.type == 'CaffeAlexNet'
            else (*head.in_channels[:-2], 8, 8))
    head.channels = 8


@pytest.mark.parametrize('path', STAGES, ids=name_of)
def test_takes_a_step_of_each_stage(path, data, tiny_downloads, tmp_path):
    cfg = Config.fromfile(path)
    cfg = Config(cfg.to_dict(), cfg_text=cfg.text, filename=cfg.filename,
                 format_python_code=False)
    root = data['cityscapes' if 'cityscapes' in path.stem else 'voc12aug'][0]
    if 'imagenet' in path.stem:
        (root / 'JPEGImages').rename(root / 'train')
    apply_cfg_options(cfg, dict(data_root=str(root)))
    make_shallow(cfg.model)
    cfg.model.data_preprocessor.size = (CROP, CROP)
    if 'patches' in cfg.model:
        cfg.model.patches.update(num_per_image=4, size_range=(24, 48),
                                 out_size=64)
    cfg.train_dataloader.update(
        num_workers=0, persistent_workers=False, batch_size=2)
    for node in nested_dicts(cfg.train_dataloader):
        if 'scale' in node:
            node['scale'] = (80, 72)
        if 'crop_size' in node:
            node['crop_size'] = (CROP, CROP)
        if 'data_prefix' in node:
            node['serialize_data'] = False
    cfg.val_dataloader = cfg.val_evaluator = cfg.val_cfg = None
    cfg.train_cfg.update(max_iters=1, val_interval=2)
    cfg.default_hooks.checkpoint = None
    cfg.work_dir = str(tmp_path / 'work')
    cfg.experiment_name = cfg.visualizer.name = uuid.uuid4().hex
    cfg.log_level = 'WARNING'
    cfg.optim_wrapper.pop('accumulative_counts', None)
    watch = Watch()
    runner = Runner.from_cfg(cfg)
    runner.register_hook(watch)
    runner.train()
    assert 'loss' in watch.outputs
    for key, value in watch.outputs.items():
        assert torch.isfinite(value).all(), key
    still = [key for key, p in runner.model.named_parameters()
             if torch.equal(p, watch.start[key])]
    assert still == []
