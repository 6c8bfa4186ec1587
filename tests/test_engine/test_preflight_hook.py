"""Runs that must not start, through a real Runner."""
import copy
import itertools
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner, load_checkpoint
from mmseg.registry import HOOKS, MODELS
from PIL import Image
from torch import nn

from mmseg_ssl.engine.hooks import preflight_hook
from mmseg_ssl.engine.hooks.preflight_hook import (
    PreflightHook,
    RefusedRun,
    check_checkpoint,
    check_hooks,
    check_num_classes,
    compare_weights,
    read_checkpoint,
)

CLASSES = ('sky', 'hill', 'road')
NORM = dict(type='BN')
NUMBERS = itertools.count()  # mmengine keeps objects by experiment


def write_data(root: Path) -> None:
    """Four 32x32 images whose label is constant in each half."""
    rng = np.random.default_rng(0)
    for folder in ('img', 'ann'):
        (root / folder).mkdir(parents=True)
    mask = np.repeat(np.array([0, 1], np.uint8), 16)[:, None].repeat(32, 1)
    for i in range(4):
        image = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(image).save(root / f'img/{i}.jpg')
        Image.fromarray(mask).save(root / f'ann/{i}.png')


def make_config(root: Path, **kwargs) -> Config:
    pipeline = [
        dict(type='LoadImageFromFile'),
        dict(type='LoadAnnotations'),
        dict(type='PackSegInputs'),
    ]
    head = dict(
        type='FCNHead', in_channels=8, channels=4, num_convs=1,
        concat_input=False, num_classes=3, norm_cfg=NORM)
    loader = dict(
        batch_size=2,
        num_workers=0,
        sampler=dict(type='InfiniteSampler', shuffle=True),
        dataset=dict(
            type='BaseSegDataset',
            data_root=str(root),
            data_prefix=dict(img_path='img', seg_map_path='ann'),
            metainfo=dict(classes=CLASSES),
            serialize_data=False,  # would collect garbage every time
            pipeline=pipeline))
    val_loader = copy.deepcopy(loader)
    val_loader['batch_size'] = 1
    val_loader['sampler'] = dict(type='DefaultSampler', shuffle=False)
    cfg = dict(
        default_scope='mmseg',
        work_dir=str(root / 'work'),
        model=dict(
            type='EncoderDecoder',
            data_preprocessor=dict(type='SegDataPreProcessor', size=(32, 32)),
            backbone=dict(
                type='ResNet', depth=18, base_channels=4, num_stages=2,
                strides=(1, 2), dilations=(1, 1), out_indices=(0, 1),
                norm_cfg=NORM),
            decode_head=dict(head, in_index=1),
            auxiliary_head=dict(head, in_index=0, in_channels=4),
            test_cfg=dict(mode='whole')),
        train_dataloader=loader,
        val_dataloader=val_loader,
        test_dataloader=val_loader,
        val_evaluator=dict(type='IoUMetric'),
        test_evaluator=dict(type='IoUMetric'),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.01)),
        train_cfg=dict(by_epoch=False, max_iters=1, val_interval=1),
        val_cfg=dict(),
        test_cfg=dict(),
        default_hooks=dict(
            checkpoint=dict(
                type='CheckpointHook', interval=1, by_epoch=False)),
        custom_hooks=[
            dict(type='PreflightHook', cache_dir=str(root / 'cache'))
        ],
        experiment_name=f'preflight_{next(NUMBERS)}',
        log_level='WARNING')
    cfg.update(kwargs)
    return Config(cfg)


def run(config: Config, method: str = 'train') -> Runner:
    """Run; what is refused must have taken no training step."""
    runner = Runner.from_cfg(config)
    getattr(runner, method)()
    return runner


@pytest.fixture
def root(tmp_path) -> Path:
    write_data(tmp_path)
    return tmp_path


@pytest.fixture(scope='module')
def trained(tmp_path_factory) -> Path:
    """Checkpoint of a run of one iteration."""
    folder = tmp_path_factory.mktemp('trained')
    write_data(folder)
    run(make_config(folder))
    return folder / 'work/iter_1.pth'


@pytest.fixture
def warnings(monkeypatch) -> list:
    """Texts that the hook logs as warnings."""
    texts = []
    monkeypatch.setattr(preflight_hook, 'print_log',
                        lambda text, **_: texts.append(text))
    return texts


def test_good_run_is_left_alone(trained, warnings):
    assert trained.exists()
    assert warnings == []


@pytest.mark.parametrize('method', ['train', 'val', 'test'])
def test_label_outside_the_classes(root, method):
    mask = np.full((32, 32), 11, np.uint8)
    Image.fromarray(mask).save(root / 'ann/3.png')
    with pytest.raises(ValueError, match='ann/3.png holds 11; allowed are'):
        run(make_config(root), method)
    assert not list(root.glob('work/**/*.pth'))


def test_scan_can_be_switched_off(root):
    (root / 'ann/3.png').unlink()
    config = make_config(
        root,
        custom_hooks=[dict(type='PreflightHook', scan_files=False)],
        test_dataloader=make_config(root).test_dataloader)
    config.test_dataloader.dataset.indices = 2
    run(config, 'test')


@pytest.mark.parametrize('head', ['decode_head', 'auxiliary_head'])
@pytest.mark.parametrize('method', ['train', 'test'])
def test_wrong_num_classes(root, head, method):
    config = make_config(root)
    config.model[head].num_classes = 19
    with pytest.raises(ValueError) as error:
        run(config, method)
    message = str(error.value)
    assert message.startswith(f'{head}.num_classes is 19, but BaseSegDataset '
                              'has 3 classes (sky, hill, road)')
    assert 'set num_classes=3' in message


def load_from(root: Path, checkpoint: Path, method: str = 'train', **kwargs):
    return run(make_config(root, load_from=str(checkpoint), **kwargs), method)


def other_backbone(config: Config) -> Config:
    config.model.backbone.base_channels = 8
    config.model.decode_head.in_channels = 16
    config.model.auxiliary_head.in_channels = 8
    return config


@pytest.mark.parametrize('method', ['train', 'test'])
def test_checkpoint_of_another_backbone(root, trained, method):
    config = other_backbone(make_config(root, load_from=str(trained)))
    with pytest.raises(ValueError) as error:
        run(config, method)
    message = str(error.value)
    assert str(trained) in message and 'EncoderDecoder' in message
    assert 'of another shape: backbone.layer1.0.' in message
    assert 'more' in message  # not hundreds of names


def test_bare_backbone_is_no_model(root, trained):
    state = load_checkpoint(nn.Module(), str(trained))['state_dict']
    bare = root / 'bare.pth'
    torch.save(
        {k.removeprefix('backbone.'): v
         for k, v in state.items() if k.startswith('backbone.')}, bare)
    with pytest.raises(ValueError, match='init_cfg=dict.type=.Pretrained.'):
        load_from(root, bare)


def other_head(config: Config) -> Config:
    config.model.decode_head.channels = 8
    return config


def test_other_head_may_be_trained(root, trained, warnings):
    run(other_head(make_config(root, load_from=str(trained))))
    assert len(warnings) == 1
    assert 'decode_head.conv_seg.weight' in warnings[0]


def test_other_head_cannot_predict(root, trained):
    config = other_head(make_config(root, load_from=str(trained)))
    with pytest.raises(ValueError, match='decode_head.conv_seg.weight'):
        run(config, 'test')


def test_other_head_cannot_be_resumed(root, trained):
    config = other_head(
        make_config(root, load_from=str(trained), resume=True))
    with pytest.raises(ValueError, match='Resume with the config'):
        run(config)


def test_auxiliary_head_does_not_matter_for_prediction(
        root, trained, warnings):
    config = make_config(root, load_from=str(trained))
    config.model.auxiliary_head.channels = 8
    run(config, 'test')
    assert 'auxiliary_head.conv_seg.weight' in warnings[0]


def test_resume_from_latest(root):
    run(make_config(root))
    config = make_config(root, resume=True)
    config.train_cfg.max_iters = 2
    assert run(config).iter == 2
    config.model.decode_head.channels = 8
    with pytest.raises(ValueError, match='iter_2.pth'):
        run(config)


def test_resume_where_nothing_was_saved(root):
    assert run(make_config(root, resume=True)).iter == 1


def test_weights_alone_cannot_be_resumed(root, trained):
    weights = root / 'weights.pth'
    state = load_checkpoint(nn.Module(), str(trained))['state_dict']
    torch.save(dict(state_dict=state), weights)
    with pytest.raises(ValueError, match='no state of a training run'):
        load_from(root, weights, resume=True)
    load_from(root, weights)


def test_damaged_checkpoint(root, trained):
    damaged = root / 'damaged.pth'
    damaged.write_bytes(trained.read_bytes()[:10000])
    with pytest.raises(ValueError, match=f'^{damaged} is no checkpoint'):
        load_from(root, damaged)


@pytest.mark.parametrize('content', ['', 'junk\n', 'some notes'])
def test_a_file_of_text_is_no_checkpoint(tmp_path, content):
    """What a pickle trips over in it says nothing to anyone."""
    path = tmp_path / 'notes.pth'
    path.write_text(content)
    with pytest.raises(ValueError, match='is no checkpoint, or damaged$'):
        read_checkpoint(str(path))


def test_missing_checkpoint(root):
    with pytest.raises(FileNotFoundError, match='nowhere.pth does not exist'):
        load_from(root, root / 'nowhere.pth')


@pytest.mark.parametrize('method, kwargs', [
    ('test', {}), ('train', dict(resume=True))])
def test_checkpoint_of_other_classes(root, trained, method, kwargs):
    """Of another dataset; its weights may start a training of this one."""
    other = root / 'other.pth'
    content = torch.load(trained, weights_only=False)
    content['meta']['dataset_meta'] = dict(classes=('cat', 'dog'))
    torch.save(content, other)
    with pytest.raises(RefusedRun, match=(
            r'^.*other.pth does not fit its config: decode_head.num_classes '
            r'is 3, .*on 2 classes \(cat, dog\), those of another dataset')):
        load_from(root, other, method, **kwargs)
    if method == 'test':
        load_from(root, other)


def mean_teacher(segmentor: dict, **kwargs) -> nn.Module:
    return MODELS.build(
        dict(type='mmseg.MeanTeacher', segmentor=segmentor, **kwargs))


class TestOwnModels:
    """Plain segmentors' weights in models that wrap a segmentor."""

    @pytest.fixture
    def segmentor(self, root) -> dict:
        return make_config(root).model

    @pytest.mark.parametrize('purpose', ['initialize', 'predict'])
    def test_plain_weights_fit_a_mean_teacher(
            self, segmentor, trained, purpose, warnings):
        model = mean_teacher(segmentor)
        check_checkpoint(model, str(trained), purpose)
        assert warnings == []

    @pytest.mark.parametrize('purpose', ['initialize', 'predict'])
    def test_other_backbone_does_not(self, segmentor, trained, purpose):
        segmentor.backbone.depth = 34
        model = mean_teacher(segmentor)
        with pytest.raises(ValueError, match='student.backbone.layer1.2'):
            check_checkpoint(model, str(trained), purpose)

    @pytest.mark.parametrize('predict_on, lost, passes', [
        ('teacher', 'student', True), ('teacher', 'teacher', False),
        ('student', 'teacher', True), ('student', 'student', False)])
    def test_one_of_the_two_predicts(
            self, segmentor, tmp_path, predict_on, lost, passes, warnings):
        model = mean_teacher(
            segmentor, test_cfg=dict(predict_on=predict_on))
        path = tmp_path / 'weights.pth'
        lost = f'{lost}.module.' if lost == 'teacher' else f'{lost}.backbone.'
        torch.save({k: v for k, v in model.state_dict().items()
                    if not k.startswith(lost)}, path)
        if passes:
            check_checkpoint(model, str(path), 'predict')
            assert lost in warnings[0]
        else:
            with pytest.raises(ValueError, match=lost):
                check_checkpoint(model, str(path), 'predict')

    @pytest.mark.parametrize('wrapped', [True, False])
    def test_prediction_does_without_the_bank_of_features(
            self, segmentor, tmp_path, wrapped, warnings):
        """Published weights hold none, whoever owns the loss."""
        bank = dict(
            type='FeatureBankContrastLoss', num_classes=3, embed_channels=8,
            num_queries=4, num_keys=4, bank_size=8, num_stored=4)
        segmentor.decode_head = dict(
            type='mmseg.EmbeddingHead', head=segmentor.decode_head,
            embed_channels=8, hidden_channels=8)
        if wrapped:
            model = MODELS.build(dict(
                type='mmseg.ReCo', segmentor=segmentor, loss_contrast=bank))
        else:
            segmentor.decode_head.loss_contrast = bank
            model = MODELS.build(segmentor)
        weights = {name: value for name, value in model.state_dict().items()
                   if 'loss_contrast.' not in name}
        assert len(weights) < len(model.state_dict())
        torch.save(weights, tmp_path / 'published.pth')
        check_checkpoint(model, str(tmp_path / 'published.pth'), 'predict')
        assert 'loss_contrast.' in warnings[0]

    @pytest.mark.parametrize('model, hook', [
        ('MeanTeacher', 'MeanTeacherHook'), ('S4GAN', 'MeanTeacherHook'),
        ('ReCo', 'MeanTeacherHook'), ('PiCIE', 'OfflineClusteringHook'),
        ('FS4', 'OfflineClusteringHook'),
        ('KMeansSegmentor', 'OfflineClusteringHook')])
    def test_a_model_names_the_hooks_it_needs(self, model, hook):
        name, model = model, MODELS.get(f'mmseg.{model}')
        assert issubclass(model, nn.Module)
        model = model.__new__(model)
        with pytest.raises(ValueError, match=(
                f"{name} learns nothing without {hook}: add "
                rf"dict\(type='{hook}'\) to custom_hooks")):
            check_hooks(model, [PreflightHook()])
        own = type('Own', (HOOKS.get(f'mmseg.{hook}'), ), {})
        check_hooks(model, [own.__new__(own)])

    def test_a_run_without_its_hook_does_not_start(self, root, segmentor):
        config = make_config(root)
        config.model = dict(type='MeanTeacher', segmentor=segmentor)
        with pytest.raises(RefusedRun, match='without MeanTeacherHook'):
            run(config)

    def test_weights_to_start_from_are_there(self, root, trained):
        config = make_config(root)
        config.model.backbone.init_cfg = dict(
            type='Pretrained', checkpoint='a/no.pth', prefix='backbone.')
        with pytest.raises(RefusedRun, match=(
                'backbone starts from a/no.pth, which does not exist: .* '
                'model.backbone.init_cfg.checkpoint')):
            run(config)
        config.model.backbone.init_cfg.checkpoint = str(trained)
        config.experiment_name += '_again'
        run(config)

    @pytest.mark.parametrize('wrapped', [False, True])
    def test_prediction_needs_no_embedding(
            self, segmentor, trained, wrapped, warnings):
        segmentor.decode_head = dict(
            type='EmbeddingHead', head=segmentor.decode_head)
        model = (mean_teacher(segmentor) if wrapped
                 else MODELS.build(segmentor))
        check_checkpoint(model, str(trained), 'predict')
        assert 'projector' in warnings[0]

    def test_nested_heads_have_classes(self, segmentor):
        segmentor.decode_head = dict(
            type='EmbeddingHead', head=segmentor.decode_head)
        model = mean_teacher(segmentor)
        dataset = SimpleNamespace(metainfo=dict(classes=('a', 'b')))
        with pytest.raises(ValueError) as error:
            check_num_classes(model, dataset)
        for name in ('student.decode_head.head', 'student.auxiliary_head',
                     'teacher.module.decode_head.head'):
            assert f'{name}.num_classes is 3' in str(error.value)
        check_num_classes(model, SimpleNamespace(metainfo=dict()))


class Renaming(nn.Module):
    """Loads ``old`` under its present name, like a wrapper of a model."""

    training_only = ('unused', )

    def __init__(self) -> None:
        super().__init__()
        self.new = nn.Linear(2, 3)
        self.unused = nn.Linear(2, 3)

    def _load_from_state_dict(self, state_dict, prefix, *args):
        for name in ('weight', 'bias'):
            if f'{prefix}old.{name}' in state_dict:
                state_dict[f'{prefix}new.{name}'] = state_dict.pop(
                    f'{prefix}old.{name}')
        super()._load_from_state_dict(state_dict, prefix, *args)


class TestCompareWeights:

    def test_model_translates_names(self):
        model = nn.Sequential(Renaming())
        state = {
            '0.old.weight': torch.zeros(3, 2),
            '0.old.bias': torch.zeros(3),
            '0.surplus': torch.zeros(1),
            '0.unused.weight': torch.zeros(5, 2),
        }
        mismatch = compare_weights(model, state)
        assert mismatch.missing == ['0.unused.bias']
        assert mismatch.unexpected == ['0.surplus']
        assert list(mismatch.resized) == ['0.unused.weight']
        assert set(state) == {
            '0.old.weight', '0.old.bias', '0.surplus', '0.unused.weight'}

    def test_model_says_what_it_only_trains_with(self, tmp_path, warnings):
        path = tmp_path / 'weights.pth'
        torch.save({'0.old.weight': torch.zeros(3, 2),
                    '0.old.bias': torch.zeros(3)}, path)
        model = nn.Sequential(Renaming())
        check_checkpoint(model, str(path), 'predict')
        assert '0.unused.weight' in warnings[0]

    def test_model_keeps_its_values(self):
        model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
        before = copy.deepcopy(model.state_dict())
        other = {k: v + 1 for k, v in before.items()}
        assert not any(compare_weights(model, other))
        for name, value in model.state_dict().items():
            assert torch.equal(value, before[name])
            assert value.device.type == 'cpu'

    def test_shared_tensors_stay_shared(self):
        model = nn.ModuleDict(dict(a=nn.Linear(2, 2), b=nn.Linear(2, 2)))
        model['b'].weight = model['a'].weight
        copied = preflight_hook._on_meta(model)
        assert copied['b'].weight is copied['a'].weight
        assert copied['a'].weight.is_meta

    def test_wrapped_models_prefix_is_dropped(self):
        model = nn.Linear(2, 2)
        state = {f'module.{k}': v for k, v in model.state_dict().items()}
        assert not any(compare_weights(model, state))

    def test_counters_of_old_checkpoints(self):
        model = nn.BatchNorm1d(2)
        state = model.state_dict()
        del state['num_batches_tracked']
        assert not any(compare_weights(model, state))
