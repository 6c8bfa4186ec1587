"""Fixtures of the whole suite: scope, threads, tiny networks, tiny data."""
import os

# Spinning OpenMP threads slow a busy machine down; must precede torch.
os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')
os.environ.setdefault('OMP_NUM_THREADS', '1')

import copy
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch
from mmengine.config import Config, ConfigDict
from mmengine.dataset import InfiniteSampler
from mmengine.optim import OptimWrapper
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from PIL import Image

import mmseg_ssl  # noqa: F401  (registers everything)

ROOT = Path(__file__).resolve().parents[1]
MODEL_BASES = ROOT / 'configs/_base_/models'


@pytest.fixture(autouse=True)
def default_scope():
    """Look names up where configs look them up."""
    init_default_scope('mmseg')


@pytest.fixture(autouse=True)
def seed():
    """Same random numbers whichever tests run before."""
    torch.manual_seed(0)
    np.random.seed(0)


@pytest.fixture(scope='session', autouse=True)
def cache_dir(tmp_path_factory):
    """Keep what the preflight hook remembers out of the home directory."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('XDG_CACHE_HOME', str(tmp_path_factory.mktemp('cache')))
        yield


@pytest.fixture
def sampler_that_skips():
    """Skip a test that needs a resumed run to equal the uninterrupted one."""
    if not hasattr(InfiniteSampler, 'skip'):
        pytest.skip('mmengine 0.10.7 loads the images that a resumed run '
                    'skips, which draws random numbers')


def read_config(path: Path) -> Config:
    """Read a config whose text stays unformatted, which saves seconds."""
    cfg = Config.fromfile(path)
    return Config(cfg.to_dict(), cfg_text=cfg.text, filename=cfg.filename,
                  format_python_code=False)


@pytest.fixture(scope='session')
def project_root() -> Path:
    return ROOT


def replace_sync_bn(node: object) -> None:
    """Replace SyncBN, which needs a GPU, by BN at every depth."""
    if isinstance(node, dict):
        if node.get('type') == 'SyncBN':
            node['type'] = 'BN'
        node = list(node.values())
    if isinstance(node, list):
        for child in node:
            replace_sync_bn(child)


def shrink_backbone(backbone: dict) -> None:
    """Take as few channels as the architecture allows."""
    if backbone['type'] == 'MobileNetV2':
        backbone['widen_factor'] = 0.25
    elif backbone['type'] == 'ResNet':
        backbone.update(base_channels=8, stem_channels=8)
    elif backbone['type'] == 'MixVisionTransformer':
        backbone.update(embed_dims=8, num_layers=[1, 1, 1, 1],
                        num_heads=[1, 1, 2, 2])
    else:
        raise ValueError(f'no small variant of {backbone["type"]} is known')


def backbone_channels(backbone: dict) -> list[int]:
    """Channels of each output of a backbone."""
    net = MODELS.build(copy.deepcopy(backbone))
    net.eval()
    with torch.no_grad():
        return [x.size(1) for x in net(torch.zeros(1, 3, 32, 32))]


def shrink_head(head: dict, channels: list[int], num_classes: int) -> None:
    """Fit a head to a small backbone."""
    index = head['in_index']
    head['in_channels'] = ([channels[i] for i in index] if isinstance(
        index, list) else channels[index])
    head.update(channels=16, num_classes=num_classes, dropout_ratio=0)
    if 'c1_channels' in head:
        head.update(c1_in_channels=channels[0], c1_channels=8)


@pytest.fixture
def tiny_segmentor() -> Callable[..., ConfigDict]:
    """Make a small version of a shipped model base.

    Arguments: name of the base (``configs/_base_/models/NAME.py``), number of
    classes, whether to add an auxiliary FCN head.
    """

    def make(base: str = 'deeplabv3plus_r18-d16', num_classes: int = 3,
             auxiliary: bool = False) -> ConfigDict:
        model = Config.fromfile(MODEL_BASES / f'{base}.py').model
        replace_sync_bn(model)
        model.data_preprocessor.size = (32, 32)
        shrink_backbone(model.backbone)
        channels = backbone_channels(model.backbone)
        shrink_head(model.decode_head, channels, num_classes)
        if auxiliary:
            model.auxiliary_head = dict(
                type='FCNHead', in_channels=channels[2], in_index=2,
                channels=8, num_convs=1, concat_input=False,
                num_classes=num_classes, dropout_ratio=0,
                loss_decode=dict(type='CrossEntropyLoss', loss_weight=0.4,
                                 avg_non_ignore=True))
        return model

    return make


def draw_scene(rng: np.random.Generator, num_classes: int,
               size: tuple[int, int] = (32, 32)) -> tuple[np.ndarray, ...]:
    """Bands of colour at random places, one class each, with noise.

    Returns:
        tuple[np.ndarray, np.ndarray]: Image (H, W, 3) and labels (H, W),
        uint8. Every class is present, a few pixels are void.
    """
    height, width = size
    colours = np.random.default_rng(7).integers(0, 216, (num_classes, 3))
    cuts = np.sort(rng.choice(np.arange(2, width - 1, 3), num_classes - 1,
                              replace=False))
    columns = np.searchsorted(cuts, np.arange(width), side='right')
    labels = np.tile(rng.permutation(num_classes)[columns], (height, 1))
    image = colours[labels] + rng.integers(0, 40, (height, width, 3))
    labels[0, :3] = 255
    return image.astype(np.uint8), labels.astype(np.uint8)


@pytest.fixture
def make_batch() -> Callable[..., dict]:
    """Make a batch as collated from ``SemiSegDataset``, of drawn scenes.

    Arguments: images per branch, number of classes, seed. Without
    ``unlabeled`` an ordinary batch.
    """

    def branch(rng, batch_size, num_classes, with_labels) -> dict:
        inputs, samples = [], []
        for _ in range(batch_size):
            image, labels = draw_scene(rng, num_classes)
            inputs.append(torch.from_numpy(image).permute(2, 0, 1))
            sample = SegDataSample(metainfo=dict(
                img_shape=labels.shape, ori_shape=labels.shape,
                img_path='drawn.png'))
            if with_labels:
                sample.gt_sem_seg = PixelData(
                    data=torch.from_numpy(labels).long()[None])
            samples.append(sample)
        return dict(inputs=inputs, data_samples=samples)

    def make(batch_size: int = 2, num_classes: int = 3, seed: int = 0,
             unlabeled: bool = True) -> dict:
        rng = np.random.default_rng(seed)
        labeled = branch(rng, batch_size, num_classes, with_labels=True)
        if not unlabeled:
            return labeled
        return dict(
            labeled=labeled,
            unlabeled=branch(rng, batch_size, num_classes, with_labels=False))

    return make


@pytest.fixture
def train() -> Callable[..., dict[str, list[float]]]:
    """Train a model on the given batches, in turn, as a runner does.

    Returns what was logged at each step, by name.
    """

    def run(model: torch.nn.Module, batches: list[dict], steps: int,
            lr: float = 3e-3) -> dict[str, list[float]]:
        model.train()
        optim_wrapper = OptimWrapper(
            torch.optim.AdamW(model.parameters(), lr=lr, fused=True))
        history: dict[str, list[float]] = {}
        for step in range(steps):
            batch = copy.deepcopy(batches[step % len(batches)])
            logged = model.train_step(batch, optim_wrapper)
            if hasattr(model, 'teacher'):
                model.teacher.update_parameters(model.student)
            for key, value in logged.items():
                history.setdefault(key, []).append(value.item())
        return history

    return run


@pytest.fixture(scope='session')
def scenes_on_disk(tmp_path_factory) -> Path:
    """A data root with 8 training and 3 validation scenes of 3 classes."""
    root = tmp_path_factory.mktemp('scenes')
    rng = np.random.default_rng(0)
    for split, count in (('train', 8), ('val', 3)):
        for folder in ('img_dir', 'ann_dir'):
            (root / folder / split).mkdir(parents=True)
        for i in range(count):
            image, labels = draw_scene(rng, 3)
            Image.fromarray(image).save(root / 'img_dir' / split / f'{i}.png')
            Image.fromarray(labels).save(root / 'ann_dir' / split / f'{i}.png')
    return root


SMALL = (48, 64)  # height, width of what a shrunken config sees


def nested_dicts(node: object) -> Iterator[dict]:
    """Yield every dict inside ``node``, itself included."""
    if isinstance(node, dict):
        yield node
        node = list(node.values())
    if isinstance(node, (list, tuple)):
        for child in node:
            yield from nested_dicts(child)


def shrink_pipeline(transform: dict) -> None:
    """Make a transform work on small images."""
    if 'scale' in transform:
        transform['scale'] = SMALL[::-1]
    if 'crop_size' in transform:
        transform['crop_size'] = SMALL


def write_layout(dataset: dict, root: Path, num_classes: int) -> None:
    """Write what a leaf dataset config will look for, with small images."""
    rng = np.random.default_rng(0)
    prefix = dataset['data_prefix']
    stems = [f'extra{i}' for i in range(3)]
    if dataset.get('ann_file'):
        stems += Path(dataset['ann_file']).read_text().split()
    suffix = '.png' if 'Scenes' in dataset['type'] else '.jpg'
    image_dir = root / prefix['img_path']
    image_dir.mkdir(parents=True, exist_ok=True)
    for stem in stems:
        image, labels = draw_scene(rng, num_classes, SMALL)
        Image.fromarray(image).save(image_dir / (stem + suffix))
        if 'seg_map_path' in prefix:
            label_dir = root / prefix['seg_map_path']
            label_dir.mkdir(parents=True, exist_ok=True)
            Image.fromarray(labels).save(label_dir / f'{stem}.png')


@pytest.fixture
def shrunken_config(tmp_path) -> Callable[[Path], Config]:
    """Load a shipped config, small enough to run, with data to run on.

    The model stays as it is; its images become small, and are written to
    disk in the layout that the config expects.
    """

    def load(path: Path) -> Config:
        cfg = read_config(path)
        root = tmp_path / 'data' / path.stem
        for node in nested_dicts([cfg.train_dataloader, cfg.val_dataloader,
                                  cfg.test_dataloader]):
            if 'data_prefix' in node:
                write_layout(node, root, cfg.num_classes)
                node['data_root'] = str(root)
                node['serialize_data'] = False
                for transform in node['pipeline']:
                    shrink_pipeline(transform)
        for node in nested_dicts(cfg.model):
            if 'size' in node:  # of the data preprocessor
                node['size'] = SMALL
        for loader in (cfg.train_dataloader, cfg.val_dataloader,
                       cfg.test_dataloader):
            loader.update(num_workers=0, persistent_workers=False)
        cfg.train_dataloader.batch_size = 2
        cfg.default_hooks.checkpoint = None
        cfg.work_dir = str(tmp_path / 'work' / path.stem)
        cfg.experiment_name = uuid.uuid4().hex
        cfg.visualizer.name = cfg.experiment_name
        cfg.log_level = 'WARNING'
        return cfg

    return load


@pytest.fixture
def make_cfg(scenes_on_disk, tmp_path) -> Callable[..., Config]:
    """Make the config of a short run on the scenes, from the default runtime.

    Arguments: config of the model, iterations, whether to load unlabelled
    images as well; further keywords are merged into the config.
    """
    classes = dict(classes=('a', 'b', 'c'),
                   palette=[[0, 0, 0], [0, 255, 0], [0, 0, 255]])
    flip = dict(type='RandomFlip', prob=0.5)

    def labeled(split: str, pipeline: list[dict]) -> dict:
        return dict(
            type='BaseSegDataset', metainfo=classes, img_suffix='.png',
            serialize_data=False,  # it collects garbage, which takes seconds
            data_root=str(scenes_on_disk), pipeline=pipeline,
            data_prefix=dict(img_path=f'img_dir/{split}',
                             seg_map_path=f'ann_dir/{split}'))

    def make(model: dict, max_iters: int = 4, semi: bool = True,
             **options) -> Config:
        load = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')]
        pack = dict(type='PackSegInputs')
        train_set = labeled('train', [*load, flip, pack])
        if semi:
            train_set = dict(
                type='SemiSegDataset', labeled=train_set,
                unlabeled=dict(
                    type='UnlabeledDataset', serialize_data=False,
                    data_root=str(scenes_on_disk),
                    data_prefix=dict(img_path='img_dir/train'),
                    pipeline=[load[0], flip, pack]))
        cfg = read_config(ROOT / 'configs/_base_/default_runtime.py')
        cfg.merge_from_dict(dict(
            model=model,
            train_dataloader=dict(
                batch_size=2, num_workers=0, dataset=train_set,
                sampler=dict(type='InfiniteSampler', shuffle=True)),
            val_dataloader=dict(
                batch_size=1, num_workers=0, dataset=labeled(
                    'val', [*load, pack]),
                sampler=dict(type='DefaultSampler', shuffle=False)),
            val_evaluator=dict(type='IoUMetric', iou_metrics=['mIoU']),
            optim_wrapper=dict(
                type='OptimWrapper',
                optimizer=dict(type='SGD', lr=0.02, momentum=0.9)),
            train_cfg=dict(type='IterBasedTrainLoop', max_iters=max_iters,
                           val_interval=1000),
            val_cfg=dict(type='ValLoop'),
            default_hooks=dict(
                checkpoint=dict(interval=1000), logger=dict(interval=1)),
            log_level='WARNING',
            work_dir=str(tmp_path / 'run')))
        # one name, one logger and message hub: runs must not share them
        cfg.experiment_name = uuid.uuid4().hex
        cfg.visualizer.name = cfg.experiment_name
        if model['type'] != 'EncoderDecoder':
            cfg.custom_hooks.append(dict(type='MeanTeacherHook'))
        cfg.merge_from_dict(options)
        return cfg

    return make


def write_image(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


class TinyDownloads:
    """Official downloads of the papers' datasets, with a few small images."""

    size = (72, 80)  # height, width

    def __init__(self, root: Path) -> None:
        self.voc = root / 'VOCdevkit/VOC2012'
        self.sbd = root / 'benchmark_RELEASE/dataset'
        self.cityscapes = root / 'cityscapes'
        self.sunrgbd = root / 'sun'
        self.rng = np.random.default_rng(0)

    def scene(self, ids: list[int], scale: int = 1) -> tuple[np.ndarray, ...]:
        """An image with bands of the given ids, and its label map."""
        height, width = (scale * n for n in self.size)
        bands = np.repeat(ids, -(-width // len(ids)))[:width]
        labels = np.tile(bands, (height, 1)).astype(np.uint8)
        image = labels[..., None] * [5, 3, 7] + self.rng.integers(
            0, 40, (height, width, 3))
        return (image % 256).astype(np.uint8), labels

    def write_voc(self) -> None:
        """2 + 2 images of VOC; SBD has one of each, and two others."""
        names = dict(train=['2007_01', '2007_02'], val=['2007_03', '2007_04'])
        sbd_names = ['2007_02', '2007_03', '2008_01', '2008_02']
        for name in {*names['train'], *names['val'], *sbd_names}:
            image, labels = self.scene([0, 3, 20, 255])
            write_image(self.voc / f'JPEGImages/{name}.jpg', image)
            if name.startswith('2007'):
                write_image(self.voc / f'SegmentationClass/{name}.png', labels)
            if name in sbd_names:
                path = self.sbd / f'cls/{name}.mat'
                path.parent.mkdir(parents=True, exist_ok=True)
                scipy.io.savemat(path, {'GTcls': {
                    'Segmentation': self.scene([0, 1, 15])[1]}})
        lists = self.voc / 'ImageSets/Segmentation'
        lists.mkdir(parents=True)
        for split, stems in names.items():
            (lists / f'{split}.txt').write_text('\n'.join(stems) + '\n')
        (self.sbd / 'train.txt').write_text('\n'.join(sbd_names[:2]))
        (self.sbd / 'val.txt').write_text('\n'.join(sbd_names[2:]))

    def write_cityscapes(self) -> None:
        """3 + 2 images in two cities, of twice the usual size."""
        for split, city, count in (('train', 'aachen', 2), ('train', 'ulm', 1),
                                   ('val', 'lindau', 2)):
            for i in range(count):
                image, labels = self.scene([7, 33, 0, 26, 11], scale=2)
                stem = f'{split}/{city}/{city}_{i:06d}_000019'
                write_image(self.cityscapes / f'leftImg8bit/{stem}'
                            '_leftImg8bit.png', image)
                write_image(self.cityscapes / f'gtFine/{stem}'
                            '_gtFine_labelIds.png', labels)

    def write_sunrgbd(self) -> None:
        """3 training and 4 test images, two of these to validate on."""
        folders = dict(test=('SUNRGBD-test_images', 4, 0),
                       train=('SUNRGBD-train_images', 3, 4))
        for folder, count, shift in folders.values():
            for i in range(1, count + 1):
                image, labels = self.scene([0, 1, 37, 5])
                write_image(self.sunrgbd / folder / f'img-{i:06d}.jpg', image)
                write_image(self.sunrgbd / 'sunrgbd_train_test_labels'
                            / f'img-{i + shift:06d}.png', labels)
        (self.sunrgbd / 'test_idx.txt').write_text('2\n4\n')


@pytest.fixture
def tiny_downloads(tmp_path, monkeypatch) -> TinyDownloads:
    """Downloads to convert; the converters expect as many files."""
    counts = dict(voc12aug=dict(train=2, val=2, sbd=4, trainaug=4),
                  cityscapes=dict(train=3, val=2),
                  sunrgbd=dict(train=3, test=4, val=2))
    for module, numbers in counts.items():
        monkeypatch.setattr(
            f'mmseg_ssl.datasets.conversion.{module}.COUNTS', numbers)
    downloads = TinyDownloads(tmp_path / 'downloads')
    downloads.write_voc()
    downloads.write_cityscapes()
    downloads.write_sunrgbd()
    return downloads


def scramble(model: torch.nn.Module) -> None:
    """Give a network random weights and statistics that predict something."""
    for module in model.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            torch.nn.init.normal_(module.running_mean, std=0.1)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
    for name, parameter in model.named_parameters():
        wide = name.endswith('conv_seg.weight')
        parameter.data += (0.5 if wide else 0.02) * torch.randn_like(parameter)


@pytest.fixture
def save_checkpoint(tmp_path) -> Callable[..., Path]:
    """Write a checkpoint as a training leaves it; returns its path.

    Arguments: config of the model, name of its config, classes; further
    keywords are merged into the config.
    """

    def save(model: dict, name: str = 'tiny_1xb2-4k_scenes',
             classes: tuple[str, ...] = ('sky', 'hill', 'road'),
             **options) -> Path:
        network = MODELS.build(ConfigDict(copy.deepcopy(model)))
        scramble(network)
        for kmeans in getattr(network, 'kmeans', []):
            for view in kmeans:
                torch.nn.init.normal_(view.centroids)
            network.clustered_epoch.fill_(0)
        pipeline = [dict(type='LoadImageFromFile'),
                    dict(type='Resize', scale=(48, 32)),
                    dict(type='LoadAnnotations'), dict(type='PackSegInputs')]
        dataset = dict(
            type='ProceduralScenesDataset', data_root=str(tmp_path),
            data_prefix=dict(img_path='images', seg_map_path='labels'),
            ann_file=str(tmp_path / 'some.txt'), pipeline=pipeline)
        cfg = Config(dict(
            default_scope='mmseg', model=model, data_root=str(tmp_path),
            custom_imports=dict(imports=['mmseg_ssl']),
            test_pipeline=pipeline, test_dataloader=dict(dataset=dataset),
            test_evaluator=dict(type='IoUMetric'), **options),
            format_python_code=False)
        palette = [[10 * i, 255 - i, i] for i in range(len(classes))]
        weights = {key: value.contiguous(memory_format=torch.channels_last)
                   if value.ndim == 4 else value
                   for key, value in network.state_dict().items()}
        path = tmp_path / f'{name}.pth'
        torch.save(dict(
            state_dict=weights,
            meta=dict(cfg=cfg.pretty_text, time='20260102_040506', iter=4,
                      experiment_name=f'{name}_20260102_030405',
                      dataset_meta=dict(classes=classes, palette=palette)),
            optimizer=dict(state={}),
            message_hub=dict(runtime_info=dict(loss=np.float64(1)))), path)
        return path

    return save
