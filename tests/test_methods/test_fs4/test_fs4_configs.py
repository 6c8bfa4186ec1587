"""Every config of PiCIE and FS4 can be built and run."""
import copy
import re
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmpretrain.registry import MODELS as PRETRAIN_MODELS
from mmseg.registry import DATASETS, MODELS

from mmseg_ssl.engine.environment import revert_sync_bn
from mmseg_ssl.methods.fs4 import build_network, make_pyramid_labels

CONFIG_DIR = Path(__file__).resolve().parents[3] / 'configs'
CONFIGS = sorted(path for folder in ('picie', 'fs4')
                 for path in (CONFIG_DIR / folder).glob('*.py'))
PRETRAINING = [path for path in CONFIGS if path.stem.startswith('fs4-iss')]
# a classifier with labels on the encoder, frozen or not
LABELED = [path for path in CONFIGS
           if '-linear' in path.stem or '-finetune' in path.stem]
CLUSTERING = [path for path in CONFIGS
              if path not in PRETRAINING and path not in LABELED]
RUN = ['picie_r18', 'picie-kmeans-pixels', 'picie-kmeans-moco',
       'fs4_r18', 'fs4-context']
SIZE = (48, 64)  # height, width


def name_of(path: Path) -> str:
    return path.stem


def first_named(start: str) -> Path:
    """The small config on MSRC-21 whose name starts like this."""
    return next(path for path in CLUSTERING if path.stem.startswith(start)
                and path.stem.endswith('msrc21-112x112'))


def test_configs_are_found():
    assert len(PRETRAINING) >= 3 and len(CLUSTERING) >= 14
    assert len(LABELED) >= 11


@pytest.mark.parametrize('path', CLUSTERING, ids=name_of)
def test_builds_and_agrees_with_its_name(path):
    cfg = Config.fromfile(path)
    model = MODELS.build(cfg.model)
    hooks = [hook['type'] for hook in cfg.custom_hooks]
    assert hooks[-1] == 'OfflineClusteringHook' and 'RandomSeedHook' in hooks
    assert cfg.val_evaluator.type == 'HungarianIoUMetric'
    classes = DATASETS.get(cfg.dataset_type).METAINFO['classes']
    assert model.num_clusters[0] == cfg.num_classes == len(classes)
    partitions = cfg.val_evaluator.get('partitions', {}).values()
    listed = sorted(i for ids in partitions for i in ids)
    assert listed in ([], list(range(len(classes))))
    assert tuple(cfg.model.data_preprocessor.size) == tuple(cfg.crop_size)
    if hasattr(model, 'view_size'):
        assert all(a <= b for a, b in zip(model.view_size, cfg.crop_size))

    method, _, setting, *_ = path.stem.split('_')
    batch_size, epochs = setting.removeprefix('1xb').split('-')
    assert cfg.train_dataloader.batch_size == int(batch_size)
    assert cfg.train_cfg.max_epochs == int(epochs.removesuffix('e'))
    assert type(model).__name__ == {
        'picie': 'PiCIE', 'fs4': 'FS4', 'picie-mdc': 'MDC'}.get(
            method, 'KMeansSegmentor'
            if 'cluster' in method or 'kmeans' in method
            else 'PiCIE' if method.startswith('picie') else 'FS4')
    assert (len(model.num_clusters) == 2) == method.endswith('-h')
    pipeline = [t['type'] for t in cfg.train_dataloader.dataset.pipeline]
    assert 'LoadAnnotations' not in pipeline
    guided = getattr(model, 'global_head', None) is not None
    assert ('RandomPyramidView' in pipeline) == guided


def clusters_of_images(cfg: Config) -> tuple:
    """What has to be the same: made, learned, and named in the folder."""
    return (cfg.pyramid_labels.num_clusters,
            cfg.model.global_head.num_clusters, cfg.pyramid_labels.out_dir)


@pytest.mark.parametrize('path', CLUSTERING, ids=name_of)
def test_pyramid_labels_are_those_that_are_read(path):
    cfg = Config.fromfile(path)
    if not cfg.model.get('global_head'):
        return
    made, learned, folder = clusters_of_images(cfg)
    assert made in (learned, None)  # None: a classifier layer decides
    read = cfg.train_dataloader.dataset.pipeline[1]
    assert read.label_file == f'{folder}/labels.npz'
    for part in path.stem.split('_')[0].split('-'):
        if part.endswith('c') and part[:-1].isdigit():
            assert made == int(part[:-1]) and f'-{made}_' in folder


@pytest.mark.parametrize('method, rest', [
    ('fs4', 'r18-fpn_1xb16-10e_msrc21-112x112'),
    ('fs4-one-label', 'r18-fpn_1xb16-10e_msrc21-112x112'),
    ('fs4-one-label', 'r50-fpn_1xb128-10e_coco-stuff27-320x320')])
def test_the_numbers_of_clusters_of_the_paper_are_there(method, rest):
    found = {clusters_of_images(Config.fromfile(path))[0]
             for path in CLUSTERING
             if re.fullmatch(rf'{method}(-\d+c)?_{rest}', path.stem)}
    assert found == {25, 50, 100, 200}


@pytest.mark.parametrize('path', LABELED, ids=name_of)
def test_classifier_builds_and_agrees_with_its_name(path):
    cfg = Config.fromfile(path)
    model = MODELS.build(cfg.model)
    kind, _, setting, data = path.stem.split('_')
    classes = DATASETS.get(cfg.dataset_type).METAINFO['classes']
    assert model.num_classes == cfg.num_classes == len(classes)
    assert cfg.val_evaluator.type == 'IoUMetric'
    batch_size, iters = setting.removeprefix('1xb').split('-')
    assert cfg.train_dataloader.batch_size == int(batch_size)
    assert cfg.train_cfg.max_iters == 1000 * int(iters.removesuffix('k'))
    assert cfg.param_scheduler[0].end == cfg.train_cfg.max_iters
    # one 1x1 convolution is all there is above the encoder
    parameters = dict(model.decode_head.named_parameters())
    assert set(parameters) == {'conv_seg.weight', 'conv_seg.bias'}
    assert parameters['conv_seg.weight'].shape[2:] == (1, 1)
    learned = {name.split('.')[0] for name, value in model.named_parameters()
               if value.requires_grad}
    labeled = cfg.train_dataloader.dataset.ann_file
    if '-linear' in kind:
        assert learned == {'decode_head'} and labeled == ''
    else:
        assert learned == {'decode_head', 'backbone'}
        assert Path(labeled).stem == f'{data.split("-")[-1][:-1]}-seed0'


@pytest.mark.parametrize('start', ['picie-linear_', 'fs4-linear_',
                                   'fs4-finetune_'])
def test_classifier_learns_on_trained_features(start, shrunken_config,
                                               tmp_path):
    path = next(path for path in LABELED if path.stem.startswith(start)
                and 'msrc21' in path.stem)
    cfg = shrunken_config(path)
    encoder = MODELS.build(cfg.model.backbone.encoder)
    checkpoint = str(tmp_path / 'trained.pth')
    torch.save(dict(state_dict={
        f'encoder.{name}': value
        for name, value in encoder.state_dict().items()}), checkpoint)
    cfg.model.backbone.encoder.init_cfg.checkpoint = checkpoint
    cfg.train_cfg = dict(
        type='IterBasedTrainLoop', max_iters=2, val_interval=2)
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert runner.message_hub.get_scalar('val/mIoU').current() >= 0
    kept = [torch.equal(value.cpu(), encoder.state_dict()[name])
            for name, value in runner.model.backbone.encoder.state_dict(
            ).items() if value.is_floating_point()]
    assert all(kept) if 'linear' in start else sum(kept) < 10


def test_weights_of_another_encoder_are_refused(tmp_path):
    cfg = Config.fromfile(first_named('picie_r18'))
    cfg.model.encoder.backbone.norm_cfg = dict(type='BN')
    trained = MODELS.build(cfg.model)
    path = str(tmp_path / 'picie.pth')
    torch.save(dict(state_dict=trained.state_dict()), path)
    cfg = Config.fromfile(next(
        path for path in LABELED if path.stem.startswith('fs4-linear')))
    encoder = cfg.model.backbone.encoder
    encoder.backbone.norm_cfg = dict(type='BN')
    for prefix, message in (
            ('encoder.', r"weights 'encoder\.' in .*picie\.pth do not fit "
             r'this ContextPixelEncoder:\n  not in the checkpoint: context'),
            ('encoders', "weights 'encoders.' in .* not in the checkpoint")):
        encoder.init_cfg.update(checkpoint=path, prefix=prefix)
        with pytest.raises(ValueError, match=f'(?s){message}'):
            MODELS.build(cfg.model).init_weights()


@pytest.mark.parametrize('path', PRETRAINING, ids=name_of)
def test_pretraining_builds(path):
    cfg = Config.fromfile(path)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = PRETRAIN_MODELS.build(cfg.model)
    batch_size = cfg.train_dataloader.batch_size
    setting = path.stem.split('_')[2]
    assert setting == f'1xb{batch_size}-{cfg.train_cfg.max_epochs}e'
    if cfg.model.type == 'MoCo':
        assert model.queue_len % batch_size == 0
        norm = cfg.model.backbone.norm_cfg
        assert norm.type == 'SplitBatchNorm2d'
        assert batch_size % norm.group_size == 0
        assert norm.group_size < batch_size


@pytest.mark.parametrize('path', PRETRAINING, ids=name_of)
def test_pretraining_takes_a_step(path):
    """On small crops, one list of images for each size of them."""
    cfg = Config.fromfile(path)
    revert_sync_bn(cfg)
    cfg.model.backbone.depth = 18
    if cfg.model.type == 'MoCo':
        cfg.model.backbone.norm_cfg.group_size = 8
    cfg.model.neck.in_channels = 512
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = PRETRAIN_MODELS.build(cfg.model)
    model.train()
    sizes = [48] * 2 + [32] * 4 if cfg.model.type == 'SwAV' else [48] * 2
    crops = [torch.randn(16, 3, size, size) for size in sizes]
    loss = sum(model(crops, None, mode='loss').values())
    loss.backward()
    assert torch.isfinite(loss)
    for name in ('conv1', 'layer4.1.conv2'):
        grad = model.backbone.get_submodule(name).weight.grad
        assert torch.isfinite(grad).all() and grad.abs().sum() > 0


def test_weights_of_pretraining_fit(tmp_path):
    """What MoCo v2 ends with is where FS4 and its labels start from."""
    cfg = Config.fromfile(PRETRAINING[0])
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        source = PRETRAIN_MODELS.build(cfg.model)
    path = str(tmp_path / 'moco.pth')
    torch.save(dict(state_dict=source.state_dict()), path)
    cfg = Config.fromfile(first_named('fs4_r18'))
    for node in (cfg.model.encoder, cfg.pyramid_labels.network):
        node.backbone.norm_cfg = dict(type='BN')
        node.backbone.init_cfg.checkpoint = path
    model = MODELS.build(cfg.model)
    network = MODELS.build(cfg.pyramid_labels.network)
    for built in (model, network):
        built.init_weights()
    for backbone in (model.encoder.backbone, network.backbone):
        for name, value in backbone.state_dict().items():
            assert torch.equal(value, source.backbone.state_dict()[name])


def test_labels_of_other_weights_are_refused(shrunken_config, tmp_path):
    """MoCo v2 was trained anew since the labels were made."""
    cfg = shrunken_config(first_named('fs4_r18'))
    shrink(cfg, tmp_path / 'labels')
    network = build_network(cfg.pyramid_labels.network)
    network.backbone.conv1.weight.data *= 1.01
    path = str(tmp_path / 'moco.pth')
    torch.save(dict(state_dict={
        f'backbone.{name}': value
        for name, value in network.backbone.state_dict().items()}), path)
    cfg.pyramid_labels.network.backbone.init_cfg = dict(
        type='Pretrained', checkpoint=path, prefix='backbone.')
    runner = Runner.from_cfg(cfg)
    with pytest.raises(ValueError, match=r'labels\.npz was made with other '
                                         r'weights .*make_pyramid_labels'):
        runner.train()
    assert runner.iter == 0 and runner.model.clustered_epoch == -1


def test_evaluated_encoders_are_those_that_were_trained():
    """What a small FS4 ends with fits all configs that start from it."""
    for data in ('msrc21-112x112', 'camvid-120x160'):
        trained, = (path for path in CLUSTERING
                    if re.fullmatch(rf'fs4_r18.*{data}', path.stem))
        encoder = Config.fromfile(trained).model.encoder
        for path in CONFIGS:
            if re.match(r'fs4-(linear|finetune|recluster)', path.stem) and (
                    data in path.stem):
                model = Config.fromfile(path).model
                other = model.get('encoder') or model.backbone.encoder
                for key in ('type', 'channels', 'context_stride',
                            'out_stride', 'context', 'neck'):
                    assert other[key] == encoder[key], path.stem


def test_small_trainings_are_saved_calmed_and_in_step():
    small = [path for path in CLUSTERING
             if re.search('_1xb16-(5|10)e_', path.stem)]
    assert len(small) >= 18
    for path in small:
        cfg = Config.fromfile(path)
        epochs = cfg.train_cfg.max_epochs
        assert cfg.default_hooks.checkpoint.interval == 100
        scheduler, = cfg.param_scheduler
        assert (scheduler.begin, scheduler.end) == (epochs * 3 // 4, epochs)
        starts = cfg.model.encoder.backbone.get('init_cfg') is not None
        assert cfg.optim_wrapper.optimizer.lr == (3e-4 if starts else 1e-3)


@pytest.mark.parametrize('method', ['picie', 'fs4'])
def test_trained_encoders_are_clustered_anew(method, tmp_path):
    cfg = Config.fromfile(first_named(f'{method}_r18'))
    backbone = cfg.model.encoder.backbone
    backbone.norm_cfg = dict(type='BN')
    trained = MODELS.build(cfg.model)
    path = str(tmp_path / 'trained.pth')
    torch.save(dict(state_dict=trained.state_dict()), path)
    cfg = Config.fromfile(first_named(f'{method}-recluster'))
    cfg.model.encoder.backbone.norm_cfg = dict(type='BN')
    cfg.model.encoder.init_cfg.checkpoint = path
    model = MODELS.build(cfg.model)
    model.init_weights()
    for name, value in model.encoder.state_dict().items():
        assert torch.equal(value, trained.encoder.state_dict()[name]), name


def shrink(cfg: Config, out_dir: Path) -> None:
    """What ``shrunken_config`` does not know about."""
    for transform in cfg.train_dataloader.dataset.pipeline:
        if transform['type'] == 'CenterCrop':
            transform['crop_size'] = SIZE[::-1]
    if 'view_size' in cfg.model:
        cfg.model.view_size = SIZE
    backbone = cfg.model.encoder.get('backbone')
    if backbone is not None:
        backbone.init_cfg = None
    cfg.train_cfg.max_epochs = 1
    cfg.default_hooks.logger = dict(type='LoggerHook', interval=1)
    if cfg.model.get('global_head') is None or 'pyramid_labels' not in cfg:
        return
    options = copy.deepcopy(cfg.pyramid_labels.to_dict())
    options.update(out_dir=str(out_dir), num_clusters=2, num_workers=0,
                   resize=36, crop=32)
    options['dataset']['data_root'] = (
        cfg.train_dataloader.dataset.data_root)
    options.pop('network')
    cfg.pyramid_labels.network.backbone.init_cfg = None
    dataset = DATASETS.build(options.pop('dataset'))
    make_pyramid_labels(
        build_network(cfg.pyramid_labels.network), dataset, **options)
    cfg.train_dataloader.dataset.pipeline[1].label_file = str(
        out_dir / 'labels.npz')
    cfg.model.global_head.num_clusters = 2


@pytest.mark.parametrize('start', RUN)
def test_runs_an_epoch(start, shrunken_config, tmp_path):
    cfg = shrunken_config(first_named(start))
    shrink(cfg, tmp_path / 'labels')
    runner = Runner.from_cfg(cfg)
    before = {name: value.clone()
              for name, value in runner.model.named_parameters()}
    runner.train()
    hub = runner.message_hub
    assert hub.get_scalar('val/mIoU').current() > 0
    assert hub.get_scalar('val/things/aAcc').current() >= 0
    if 'kmeans' in start:
        return
    assert runner.iter == 2
    names = {name.removeprefix('train/') for name in hub.log_scalars}
    assert ('loss_global' in names) == (start == 'fs4_r18')
    moved = [name for name, value in runner.model.named_parameters()
             if name.startswith('encoder.')
             and not torch.equal(value, before[name])]
    assert len(moved) > 50
