"""--resume goes on with the same run, bit for bit."""
import pytest
import torch
from mmengine.runner import Runner, load_checkpoint

MAX_ITERS = 6
STOP = 4


@pytest.fixture
def make_run_cfg(make_cfg, tiny_segmentor, tmp_path):

    def make(name: str, max_iters: int = MAX_ITERS, **options):
        segmentor = tiny_segmentor()
        # dropout draws random numbers in the step, too
        segmentor.decode_head.dropout_ratio = 0.5
        segmentor.decode_head = dict(
            type='EmbeddingHead', head=segmentor.decode_head,
            embed_channels=8, hidden_channels=8)
        model = dict(
            type='ReCo', segmentor=segmentor, mixing='classmix',
            strong_threshold=0.4, weak_threshold=0.35, momentum=0.1,
            augmentation=dict(scale=(0.7, 1.4)),
            loss_contrast=dict(type='RegionalContrastLoss', num_queries=8,
                               num_keys=16))
        return make_cfg(
            model, max_iters, work_dir=str(tmp_path / name),
            train_cfg=dict(val_interval=2),
            # the end of the schedule must not depend on when a run stops
            param_scheduler=[dict(type='PolyLR', power=0.9, begin=0,
                                  end=MAX_ITERS, by_epoch=False)],
            default_hooks=dict(checkpoint=dict(interval=STOP)), **options)

    return make


def train(cfg) -> dict:
    """Run; returns the checkpoint of the last iteration."""
    runner = Runner.from_cfg(cfg)
    runner.train()
    path = f'{cfg.work_dir}/last.pth'
    runner.save_checkpoint(cfg.work_dir, 'last.pth')
    return torch.load(path, weights_only=False)


def assert_same(value, expected, name: str = '') -> None:
    """Compare nested containers of tensors bit for bit."""
    if isinstance(expected, dict):
        assert value.keys() == expected.keys(), name
        for key in expected:
            assert_same(value[key], expected[key], f'{name}.{key}')
    elif isinstance(expected, (list, tuple)):
        assert len(value) == len(expected), name
        for i, pair in enumerate(zip(value, expected)):
            assert_same(*pair, f'{name}[{i}]')
    elif isinstance(expected, torch.Tensor):
        assert torch.equal(value, expected), name
    else:
        assert value == expected, name


@pytest.mark.usefixtures('sampler_that_skips')
@pytest.mark.parametrize('stop', [3, STOP])
def test_resumed_run_equals_the_uninterrupted_one(make_run_cfg, stop):
    """Interrupted in the middle and right after a validation."""
    whole = train(make_run_cfg('whole'))
    options = dict(default_hooks=dict(checkpoint=dict(interval=stop)))
    cfg = make_run_cfg('resumed', max_iters=stop)
    cfg.merge_from_dict(options)
    first = train(cfg)
    torch.manual_seed(99)
    resumed = train(make_run_cfg('resumed', resume=True))

    assert resumed['meta']['iter'] == whole['meta']['iter'] == MAX_ITERS
    for key in ('state_dict', 'optimizer', 'param_schedulers'):
        assert_same(resumed[key], whole[key], key)
    weight = 'student.backbone.conv1.weight'
    assert not torch.equal(first['state_dict'][weight],
                           whole['state_dict'][weight])
    assert not torch.equal(
        whole['state_dict'][weight],
        whole['state_dict'][weight.replace('student', 'teacher.module')])


def test_resumed_run_differs_without_the_seed_hook(make_run_cfg):
    """What the test above would miss if nothing was random."""

    def without(cfg):
        cfg.custom_hooks = [
            h for h in cfg.custom_hooks if h['type'] != 'RandomSeedHook']
        return cfg

    whole = train(without(make_run_cfg('whole')))
    train(without(make_run_cfg('resumed', max_iters=STOP)))
    resumed = train(without(make_run_cfg('resumed', resume=True)))
    weight = 'student.backbone.conv1.weight'
    assert not torch.equal(resumed['state_dict'][weight],
                           whole['state_dict'][weight])


def test_checkpoint_holds_both_networks(make_run_cfg):
    cfg = make_run_cfg('run')
    checkpoint = train(cfg)
    assert checkpoint['state_dict']['teacher.steps'] == MAX_ITERS
    runner = Runner.from_cfg(make_run_cfg('other'))
    load_checkpoint(runner.model, f'{cfg.work_dir}/last.pth', strict=True)
    assert_same(dict(runner.model.state_dict()),
                dict(checkpoint['state_dict']))
