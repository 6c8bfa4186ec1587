import copy
import math
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.runner import Runner
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

from mmseg_ssl.datasets.augmentation import (
    PseudoLabelAugmentation,
    PseudoLabeled,
)
from mmseg_ssl.methods.s4gan import S4GAN
from mmseg_ssl.methods.s4gan.discriminator import Judgement

DISCRIMINATOR = dict(channels=4)
OPTIMIZERS = dict(
    constructor='JointOptimWrapperConstructor', type='OptimWrapper',
    student=dict(optimizer=dict(type='SGD', lr=0.02, momentum=0.9)),
    discriminator=dict(optimizer=dict(type='Adam', lr=1e-3)))


@pytest.fixture
def make_cfg_of_model(tiny_segmentor):

    def make(base='deeplabv3plus_r18-d16', num_classes=3,
             **options) -> dict:
        return {**dict(
            type='S4GAN', segmentor=tiny_segmentor(base, num_classes),
            discriminator=DISCRIMINATOR, score_threshold=0.0,
            augmentation=dict(scale=(0.8, 1.2))), **options}

    return make


@pytest.fixture
def model(make_cfg_of_model):
    return MODELS.build(make_cfg_of_model())


def losses_of(model, batch):
    model.train()
    data = model.data_preprocessor(copy.deepcopy(batch), training=True)
    return model(**data, mode='loss')


@pytest.mark.parametrize('num_classes', [2, 3])
def test_losses_fall(make_cfg_of_model, make_batch, train, num_classes):
    model = MODELS.build(make_cfg_of_model(num_classes=num_classes))
    history = {
        key: torch.tensor(values) for key, values in train(
            model, [make_batch(4, num_classes)], steps=20).items()}
    assert {key for key in history if 'loss_' in key} == {
        'loss_ce', 'loss_unsup', 'loss_feature_matching',
        'loss_discriminator'}
    for values in history.values():
        assert values.isfinite().all()
    for key in ('loss_ce', 'loss_unsup'):
        assert history[key][-4:].mean() < 0.95 * history[key][0], key
    assert (history['trusted_share'] == 1).all()


def test_discriminator_learns_while_the_student_stands_still(
        make_cfg_of_model, make_batch, train):
    """Its loss need not fall while the student learns to deceive it."""
    model = MODELS.build(make_cfg_of_model(
        discriminator=dict(channels=4, dropout_ratio=0.0)))
    model.student.requires_grad_(False)
    history = train(model, [make_batch(4, 3)], steps=15)
    losses = history['loss_discriminator']
    assert sum(losses[-4:]) / 4 < 0.8 * losses[0]


@pytest.mark.parametrize('base', [
    'fcn_r18-d16', 'pspnet_r18-d16', 'deeplabv3plus_mbv2-d16',
    'segformer_mit-b0'])
def test_trains_with_other_segmentors(make_cfg_of_model, make_batch, train,
                                      base):
    model = MODELS.build(make_cfg_of_model(base))
    history = train(model, [make_batch(2, 3)], steps=2)
    assert all(math.isfinite(v) for values in history.values()
               for v in values)


def test_each_loss_reaches_one_network(model, make_batch):
    """What lets one backward pass serve two optimisers."""
    losses = losses_of(model, make_batch(2, 3))
    for key, own in (('loss_ce', 'student'), ('loss_unsup', 'student'),
                     ('loss_feature_matching', 'student'),
                     ('loss_discriminator', 'discriminator')):
        model.zero_grad()
        losses[key].sum().backward(retain_graph=True)
        for child in ('student', 'discriminator'):
            reached = any(p.grad is not None and p.grad.abs().sum() > 0
                          for p in getattr(model, child).parameters())
            assert reached == (child == own), (key, child)


def test_discriminator_gradient_is_that_of_its_own_loss(model, make_batch):
    """In the sum of all losses as alone."""
    losses = losses_of(model, make_batch(2, 3))
    losses['loss_discriminator'].backward(retain_graph=True)
    alone = [p.grad.clone() for p in model.discriminator.parameters()]
    model.zero_grad()
    model.parse_losses(losses)[0].backward()
    for p, expected in zip(model.discriminator.parameters(), alone):
        assert torch.equal(p.grad, expected)


def test_true_map_is_the_truth_and_the_prediction_where_void():
    logits = torch.randn(1, 3, 2, 2, requires_grad=True)
    labels = torch.tensor([[[0, 2], [255, 1]]])
    shown = S4GAN.true_map(logits, [SegDataSample(
        gt_sem_seg=PixelData(data=labels))])
    assert shown[0, :, 0, 0].tolist() == [1, 0, 0]
    assert shown[0, :, 0, 1].tolist() == [0, 0, 1]
    assert shown[0, :, 1, 1].tolist() == [0, 1, 0]
    torch.testing.assert_close(
        shown[0, :, 1, 0], logits[0, :, 1, 0].detach().softmax(0))
    assert not shown.requires_grad


def test_self_training_against_a_loop(model):
    model.score_threshold, model.self_training_weight = 0.6, 0.5
    logits = torch.randn(3, 3, 4, 4, dtype=torch.double, requires_grad=True)
    labels = torch.zeros(3, 4, 4, dtype=torch.long)
    labels[:, 0] = 255
    views = PseudoLabeled(torch.zeros(3, 3, 4, 4), labels, torch.ones(3, 4, 4))
    scores = torch.tensor([0.7, 0.5, 0.61])
    judged = Judgement(scores.logit(), torch.zeros(3, 8))

    total, count = 0.0, 0
    for i in (0, 2):  # the second is not trusted
        for y in range(1, 4):  # the first row is void
            for x in range(4):
                prob = logits[i, :, y, x].detach().softmax(0)
                total -= prob.max().log().item()
                count += 1
    losses = model.loss_by_self_training(logits, judged, views)
    assert losses['loss_unsup'].item() == pytest.approx(0.5 * total / count)
    assert losses['trusted_share'].item() == pytest.approx(2 / 3)
    assert losses['score'].item() == pytest.approx(scores.mean().item())
    losses['loss_unsup'].backward()
    assert logits.grad[1].abs().sum() == 0 and logits.grad[0, :, 1:].any()


def test_nothing_trusted_is_a_zero_with_a_graph(model):
    model.score_threshold = 1.1
    logits = torch.randn(2, 3, 4, 4, requires_grad=True)
    views = PseudoLabeled(
        torch.zeros(2, 3, 4, 4), torch.zeros(2, 4, 4, dtype=torch.long),
        torch.ones(2, 4, 4))
    judged = Judgement(torch.full((2, ), 9.0), torch.zeros(2, 8))
    losses = model.loss_by_self_training(logits, judged, views)
    assert losses['loss_unsup'] == 0 and losses['trusted_share'] == 0
    losses['loss_unsup'].backward()
    assert not logits.grad.any()


def test_feature_matching_compares_means(model):
    judged = Judgement(torch.zeros(2), torch.tensor([[1., 4.], [3., 0.]]))
    real = Judgement(torch.zeros(1), torch.tensor([[1., 5.]]))
    loss = model.loss_by_feature_matching(judged, real)
    # means (2, 2) and (1, 5): distances 1 and 3
    assert loss['loss_feature_matching'].item() == pytest.approx(0.1 * 2)


def test_discriminator_loss_against_the_formula(model):
    real = Judgement(torch.tensor([1.0, -0.5]), torch.zeros(2, 8))
    fake = Judgement(torch.tensor([0.3, -2.0]), torch.zeros(2, 8))
    losses = model.loss_of_discriminator(real, fake)

    def sigmoid(x):
        return 1 / (1 + math.exp(-x))

    expected = -(math.log(sigmoid(1.0)) + math.log(sigmoid(-0.5)) +
                 math.log(1 - sigmoid(0.3)) + math.log(1 - sigmoid(-2.0))) / 4
    assert losses['loss_discriminator'].item() == pytest.approx(expected)
    assert losses['discriminator_accuracy'] == 0.5


def test_padding_is_void(model):
    samples = [SegDataSample(), SegDataSample(
        metainfo=dict(padding_size=(1, 2, 0, 3)))]
    batch = model.pseudo_label(torch.zeros(2, 3, 8, 8), samples)
    assert (batch.labels[0] == 0).all() and (batch.confidence[0] == 1).all()
    inside = torch.zeros(8, 8, dtype=torch.bool)
    inside[0:5, 1:6] = True
    assert torch.equal(batch.labels[1] == 0, inside)
    assert torch.equal(batch.labels[1] == 255, ~inside)
    assert torch.equal(batch.confidence[1], inside.float())


def test_labels_of_one_class_only_or_void(model, make_batch, train):
    batches = [make_batch(2, 3, seed) for seed in range(2)]
    for batch, value in zip(batches, (1, 255)):
        for sample in batch['labeled']['data_samples']:
            sample.gt_sem_seg.data.fill_(value)
    for values in train(model, batches, steps=4).values():
        assert torch.tensor(values).isfinite().all()


def test_mixed_precision_on_a_cpu(make_cfg_of_model, make_batch):
    cfg = make_cfg_of_model(discriminator=dict(channels=4, dropout_ratio=0.0))
    model = MODELS.build(cfg)
    losses = []
    for enabled in (False, True):
        torch.manual_seed(0)
        with torch.autocast('cpu', torch.bfloat16, enabled=enabled):
            losses.append(losses_of(model, make_batch(2, 3)))
        model.parse_losses(losses[-1])[0].backward()
        assert all(p.grad.isfinite().all() for p in model.parameters()
                   if p.requires_grad)
    for key in (key for key in losses[0] if 'loss' in key):
        assert losses[1][key].dtype == torch.float32, key
        torch.testing.assert_close(
            losses[1][key], losses[0][key], rtol=0.1, atol=0.05)


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
@pytest.mark.parametrize('dtype', ['float16', 'bfloat16'])
def test_mixed_precision(model, make_batch, dtype):
    model.to('cuda').train()
    wrapper = build_optim_wrapper(model, {
        **OPTIMIZERS, 'type': 'AmpOptimWrapper', 'dtype': dtype})
    batch, losses = make_batch(4, 3), []
    for _ in range(30):
        logged = model.train_step(copy.deepcopy(batch), wrapper)
        assert all(value.isfinite() for value in logged.values())
        losses.append(logged['loss_ce'])
    assert losses[-1] < 0.8 * losses[0]


def test_discriminator_with_other_classes(make_cfg_of_model):
    with pytest.raises(ValueError, match=(
            'discriminator.num_classes is 5, but the segmentor has 3')):
        MODELS.build(make_cfg_of_model(discriminator=dict(num_classes=5)))


def test_crop_too_small_for_the_discriminator(make_cfg_of_model, make_batch):
    cfg = make_cfg_of_model()
    model = MODELS.build(cfg)
    batch = make_batch(2, 3)
    for branch in batch.values():
        branch['inputs'] = [x[:, :8] for x in branch['inputs']]
        for sample in branch['data_samples']:
            if 'gt_sem_seg' in sample:
                sample.gt_sem_seg = PixelData(
                    data=sample.gt_sem_seg.data[:, :8])
    model.data_preprocessor.size = (8, 32)
    with pytest.raises(ValueError, match='use a larger crop_size'):
        losses_of(model, batch)


CONFIGS = sorted((Path(__file__).parents[3] / 'configs/s4gan').glob('*.py'))


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_both_branches_are_augmented_alike(path):
    """Else the discriminator learns to see zoom, jitter or blur."""
    cfg = Config.fromfile(path)
    data = cfg.train_dataloader.dataset
    alike = [transform for transform in data.labeled.pipeline
             if transform.type != 'LoadAnnotations']
    assert data.unlabeled.pipeline == alike
    assert {'RandomCrop', 'RandomFlip', 'PhotoMetricDistortion'} <= {
        transform.type for transform in alike}

    preprocessor = cfg.model.segmentor.data_preprocessor
    augmentation = PseudoLabelAugmentation(
        preprocessor.mean, preprocessor.std, **cfg.model.augmentation)
    pixels = torch.randint(256, (2, 3, 24, 32))
    batch = PseudoLabeled(
        (pixels - augmentation.mean) / augmentation.std,
        torch.randint(3, (2, 24, 32)), torch.rand(2, 24, 32))
    views = augmentation.photometric(augmentation.scale_crop(batch))
    for view, original in zip(views, batch):
        torch.testing.assert_close(view, original, rtol=1e-4, atol=1e-4)


def test_predicts_without_discriminator(model):
    assert set(model.training_only) == {'student', 'discriminator'}
    model.eval()
    model.discriminator = None
    model.predict(torch.zeros(1, 3, 32, 32))


@pytest.fixture
def run(make_cfg, make_cfg_of_model, tmp_path):
    """Train a few iterations; returns the runner."""

    def run(name, max_iters, **options) -> Runner:
        cfg = make_cfg(make_cfg_of_model(), max_iters,
                       work_dir=str(tmp_path / name))
        cfg.optim_wrapper = OPTIMIZERS
        cfg.param_scheduler = [dict(type='PolyLR', power=0.9, begin=0, end=4,
                                    by_epoch=False)]
        cfg.default_hooks.checkpoint.interval = 2
        cfg.merge_from_dict(options)
        runner = Runner.from_cfg(cfg)
        runner.train()
        return runner

    return run


@pytest.mark.usefixtures('sampler_that_skips')
def test_a_resumed_run_equals_the_uninterrupted_one(run):
    whole = run('whole', 4)
    run('resumed', 2)
    torch.manual_seed(99)
    resumed = run('resumed', 4, resume=True)
    expected = whole.model.state_dict()
    for key, value in resumed.model.state_dict().items():
        assert torch.equal(value, expected[key]), key
    for name in ('student', 'discriminator'):
        states = [runner.optim_wrapper.state_dict()[name]['state']
                  for runner in (whole, resumed)]
        for index, state in states[0].items():
            for key, value in state.items():
                if isinstance(value, torch.Tensor):
                    assert torch.equal(states[1][index][key], value), key
    assert expected['teacher.steps'] == 4
    lrs = whole.optim_wrapper.get_lr()
    assert lrs['student.lr'][0] < 0.02
    assert lrs['discriminator.lr'][0] < 1e-3
