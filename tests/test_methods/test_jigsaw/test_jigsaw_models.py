"""Both jigsaw tasks learn, repeat fixed puzzles and refuse nonsense."""
import copy
import math

import numpy as np
import pytest
import torch
from mmseg.registry import METRICS, MODELS
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from mmseg_ssl.datasets.scenes import paint_scene
from mmseg_ssl.methods.jigsaw import (
    JigsawFCN,
    PatchPositionHead,
    pool_patches,
    restore_patches,
)

RESNET = dict(type='ResNet', depth=18, base_channels=8, stem_channels=8,
              norm_cfg=dict(type='BN'))
ALEXNET = dict(type='CaffeAlexNet', channels=(8, 16, 16, 16, 16),
               norm_cfg=dict(type='BN'), lrn=False, stem_stride=2,
               out_layers=('pool5', ))
PREPROCESSOR = dict(type='SegDataPreProcessor', mean=[120.] * 3,
                    std=[60.] * 3, bgr_to_rgb=True, size=(96, 96))


@pytest.fixture(scope='session')
def scenes() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [paint_scene(96, 96, rng)[0] for _ in range(16)]


@pytest.fixture
def make_scene_batch(scenes):

    def make(start: int = 0, number: int = 16) -> dict:
        samples = [
            SegDataSample(metainfo=dict(
                img_path=f'folder/{i}.png', img_shape=(96, 96),
                ori_shape=(96, 96)))
            for i in range(start, start + number)]
        inputs = [torch.from_numpy(image).permute(2, 0, 1)
                  for image in scenes[start:start + number]]
        return dict(inputs=inputs, data_samples=samples)

    return make


def make_fcn(**kwargs) -> JigsawFCN:
    cfg = dict(
        type='JigsawFCN', backbone=RESNET, grid=3,
        head=dict(type='PatchPositionHead', in_channels=64,
                  hidden_channels=32),
        data_preprocessor=PREPROCESSOR)
    cfg.update(kwargs)
    model = MODELS.build(cfg)
    model.init_weights()
    return model


def make_permutation(**kwargs) -> nn.Module:
    cfg = dict(
        type='JigsawPermutation', backbone=ALEXNET, num_permutations=4,
        gap=2, head=dict(
            type='PermutationHead', in_channels=16, map_size=1,
            tile_channels=16, hidden_channels=32, dropout_ratio=0.),
        data_preprocessor=PREPROCESSOR)
    cfg.update(kwargs)
    model = MODELS.build(cfg)
    model.init_weights()
    return model


GUARDED = dict(gap=4, tile_norm=True, grey_prob=0.5)


@pytest.mark.parametrize('guards', [{}, GUARDED])
def test_positions_are_learned(train, make_scene_batch, guards):
    model = make_fcn(**guards)
    history = train(model, [make_scene_batch()], steps=50)
    assert set(history) == {'loss', 'loss_jigsaw', 'acc_jigsaw'}
    loss, accuracy = (torch.tensor(history[key])
                      for key in ('loss_jigsaw', 'acc_jigsaw'))
    assert accuracy[:2].mean() < 20
    assert accuracy[-5:].mean() > 2 * 12.5  # chance
    # knowing the centre, and nothing of the other eight
    assert loss[-5:].mean() < 0.95 * 8 / 9 * math.log(8)


def test_permutations_are_learned(train, make_scene_batch):
    model = make_permutation()
    history = train(model, [make_scene_batch()], steps=30)
    loss = torch.tensor(history['loss_jigsaw'])
    assert loss[-5:].mean() < 0.7 * loss[:2].mean()
    assert torch.tensor(history['acc_jigsaw'])[-5:].mean() > 60


@pytest.mark.parametrize('make', [
    # residual branches that start at zero would get none at first
    lambda: make_fcn(backbone=dict(RESNET, zero_init_residual=False)),
    make_permutation])
def test_gradients_reach_every_weight(make, make_scene_batch):
    model = make()
    data = model.data_preprocessor(make_scene_batch(), training=True)
    model.train()
    loss, _ = model.parse_losses(model(**data, mode='loss'))
    loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad.abs().sum() > 0, name


def test_the_loss_is_the_mean_over_all_patches(make_scene_batch,
                                               monkeypatch):
    """Eq. 7, patch by patch in float64."""
    model = make_fcn()
    data = model.data_preprocessor(make_scene_batch(number=3), training=True)
    logits = torch.randn(3, 9, 9)
    position = torch.stack([torch.randperm(9) for _ in range(3)])
    monkeypatch.setattr(model, 'solve', lambda puzzles: logits)
    monkeypatch.setattr(model, 'draw',
                        lambda *args: (position, position))
    losses = model(**data, mode='loss')
    expected = [
        -torch.log_softmax(logits[b, i].double(), 0)[position[b, i]]
        for b in range(3) for i in range(9)]
    torch.testing.assert_close(
        losses['loss_jigsaw'].double(), torch.stack(expected).mean(),
        rtol=1e-6, atol=1e-6)
    movable = [0, 1, 2, 3, 5, 6, 7, 8]
    right = (logits.argmax(2) == position)[:, movable].double().mean()
    assert losses['acc_jigsaw'].item() == pytest.approx(100 * right.item())


@pytest.mark.parametrize('make', [make_fcn, make_permutation])
def test_mixed_precision_on_a_cpu(make, make_scene_batch):
    """The same loss in bfloat16, but for its precision."""
    model = make()
    data = model.data_preprocessor(make_scene_batch(), training=True)
    model.train()
    losses = []
    for enabled in (False, True):
        torch.manual_seed(0)
        with torch.autocast('cpu', torch.bfloat16, enabled=enabled):
            losses.append(model(**data, mode='loss')['loss_jigsaw'])
    assert losses[1].dtype == torch.float32
    torch.testing.assert_close(losses[1], losses[0], rtol=0.05, atol=0.02)


# --- fixed puzzles ----------------------------------------------------------


@pytest.mark.parametrize('make, fields', [
    (make_fcn, ('position', 'pred_position')),
    (make_permutation, ('permutation', 'pred_permutation'))])
def test_fixed_puzzles_depend_on_the_image_alone(make, fields,
                                                 make_scene_batch):
    """Not on batches, on random numbers drawn before, nor on the folder."""
    model = make()
    model.eval()
    together = model.test_step(make_scene_batch(number=4))
    torch.rand(13)
    for i, expected in enumerate(together):
        batch = make_scene_batch(i, 1)
        batch['data_samples'][0].set_metainfo(
            dict(img_path=f'elsewhere/{i}.png'))
        alone, = model.test_step(batch)
        for field in fields:
            assert torch.equal(alone.get(field), expected.get(field))
    truths = [tuple(sample.get(fields[0]).flatten().tolist())
              for sample in model.test_step(make_scene_batch())]
    assert len(set(truths)) > 3


def test_the_predicted_puzzle_is_the_one_that_was_seen(make_scene_batch,
                                                       monkeypatch):
    model = make_fcn()
    model.eval()
    seen = []
    solve = model.solve
    monkeypatch.setattr(
        model, 'solve', lambda x: (seen.append(x), solve(x))[1])
    batch = make_scene_batch(number=2)
    images = model.data_preprocessor(copy.deepcopy(batch))['inputs']
    samples = model.test_step(batch)
    position = torch.stack([sample.position for sample in samples])
    assert torch.equal(restore_patches(seen[0], position, 3), images)
    metric = METRICS.build(dict(type='PatchAccuracy'))
    metric.process(None, [sample.to_dict() for sample in samples])
    assert 0 <= metric.evaluate(2)['movable_acc'] <= 100


def test_predicts_without_samples_and_gives_maps():
    model = make_fcn()
    model.eval()
    samples = model(torch.rand(2, 3, 96, 96), mode='predict')
    assert samples[1].pred_position.shape == (9, )
    assert model(torch.rand(2, 3, 96, 96)).shape == (2, 64, 3, 3)


# --- parts ------------------------------------------------------------------


def test_head_compares_with_the_central_patch():
    head = PatchPositionHead(4, grid=3, hidden_channels=6)
    head.init_weights()
    pooled = torch.randn(2, 9, 4)
    logits = head(pooled)
    assert logits.shape == (2, 9, 9)
    pair = torch.cat([pooled[1, 7], pooled[1, 4]])
    expected = head.classifier(head.hidden(pair).relu())
    torch.testing.assert_close(logits[1, 7], expected)


def test_norm_in_the_head():
    head = PatchPositionHead(4, norm_cfg=dict(type='BN1d'))
    assert isinstance(head.norm, nn.BatchNorm1d)
    assert head.hidden.bias is None
    assert head(torch.randn(3, 9, 4)).shape == (3, 9, 9)


def test_tiles_pass_the_trunk_one_by_one():
    """The logits do not change when another tile's neighbours do."""
    model = make_permutation(gap=0)
    model.eval()
    puzzles = torch.randn(2, 3, 96, 96)
    seen: list[Tensor] = []
    model.backbone.register_forward_pre_hook(
        lambda module, args: seen.append(args[0]))
    assert model.solve(puzzles).shape == (2, 4)
    tiles, = seen
    assert tiles.shape == (18, 3, 32, 32)
    assert torch.equal(tiles[9 + 5], puzzles[1, :, 32:64, 64:96])


def test_stride_and_offset_come_from_the_backbone():
    model = make_fcn()
    assert (model.stride, model.offset) == (32, 0.)
    given = make_fcn(stride=32, offset=15.5)
    features = given.last_map(torch.randn(1, 3, 96, 96))
    torch.testing.assert_close(
        pool_patches(features, 3, (96, 96), 32, 15.5)[0, 4],
        features[0, :, 1, 1])


def test_crops_the_grid_does_not_divide(make_scene_batch):
    model = make_fcn(grid=7, stride=8, offset=3.5)
    model.last_map = lambda x: torch.zeros(len(x), 64, 12, 12)
    data = model.data_preprocessor(make_scene_batch(number=2))
    assert model(**data, mode='predict')[0].position.shape == (49, )


# --- what is refused --------------------------------------------------------


@pytest.mark.parametrize('options, message', [
    (dict(grid=4), 'grid must be odd and at least 3, but got 4'),
    (dict(grey_prob=1.5), r'grey_prob must be in \[0, 1\], but got 1.5'),
    (dict(backbone=dict(type='MixVisionTransformer', embed_dims=8,
                        num_layers=[1] * 4, num_heads=[1] * 4)),
     'MixVisionTransformer.*not defined.*give stride and offset')])
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        make_fcn(**options)


@pytest.mark.parametrize('options, size, message', [
    (dict(), (2, 40), '2x40 pixels cannot be cut into 3x3'),
    (dict(grid=5), (96, 96), r'patches \[.*\] of 5 .*smaller stride'),
    (dict(gap=32), (96, 96), 'a gap of 32 pixels leaves nothing of patches '
     'of 32x32')])
def test_impossible_puzzles(options, size, message):
    model = make_fcn(**options)
    model.eval()
    with pytest.raises(ValueError, match=message):
        model(torch.zeros(1, 3, *size), mode='predict')


def test_padded_crops_are_refused(make_scene_batch):
    model = make_fcn(data_preprocessor=dict(PREPROCESSOR, size=(128, 96)))
    data = model.data_preprocessor(make_scene_batch(), training=True)
    with pytest.raises(ValueError, match=r'folder/0.png is .* was '
                       r'padded by 0x32 pixels'):
        model(**data, mode='loss')


def test_unknown_mode():
    with pytest.raises(ValueError, match="'loss', 'predict' or 'tensor', but "
                       "got 'other'"):
        make_fcn()(torch.zeros(1, 3, 96, 96), mode='other')
