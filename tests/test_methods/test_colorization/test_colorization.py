"""Colorization learns, and colours."""
import copy

import pytest
import torch
from mmengine.dataset import pseudo_collate
from mmengine.runner import Runner
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

PREPROCESSOR = dict(
    type='SegDataPreProcessor', mean=[110., 115., 120.], std=[60., 65., 70.],
    bgr_to_rgb=True, size=(32, 32), seg_pad_val=255)
ALEXNET = dict(
    type='CaffeAlexNet', in_channels=1, channels=(8, 8, 8, 8, 8), lrn=False,
    stem_stride=2, out_layers=('conv1', 'conv3', 'pool5'),
    norm_cfg=dict(type='BN'))
RESNET = dict(
    type='ResNet', depth=18, base_channels=8, stem_channels=8,
    num_stages=2, strides=(1, 2), dilations=(1, 1), out_indices=(0, 1),
    norm_cfg=dict(type='BN'))


def config(backbone=RESNET, in_channels=(8, 16), **options) -> dict:
    return dict(
        type='Colorization', backbone=copy.deepcopy(backbone),
        head=dict(type='ColorizationHead', in_channels=in_channels,
                  channels=32, num_bins=8, tile=16),
        num_points=64, window=3,
        data_preprocessor=copy.deepcopy(PREPROCESSOR), **options)


def build(*args, **options) -> torch.nn.Module:
    model = MODELS.build(config(*args, **options))
    model.init_weights()
    return model


@pytest.mark.parametrize('backbone, in_channels', [
    (RESNET, (8, 16)), (ALEXNET, (8, 8, 8))], ids=['resnet', 'alexnet'])
def test_learns_colours(make_batch, train, backbone, in_channels):
    """Brightness tells the classes apart, hence their colours."""
    model = build(backbone, in_channels)
    batch = make_batch(4, 3, unlabeled=False)
    history = {name: torch.tensor(values) for name, values in train(
        model, [batch], steps=30, lr=1e-2).items()}
    assert set(history) == {'loss', 'loss_hue', 'loss_chroma', 'mean_chroma'}
    for part in ('loss_hue', 'loss_chroma'):
        assert history[part][-4:].mean() < 0.6 * history[part][:2].mean()

    sample = model.val_step(batch)[0]
    coloured = sample.colorized.data
    truth = model.colours(model.data_preprocessor(batch)['inputs'])[0]
    grey = truth.mean(dim=0, keepdim=True)
    assert coloured.shape == truth.shape == (3, 32, 32)
    assert (coloured - truth).abs().mean() < 0.7 * (grey - truth).abs().mean()


def test_sees_grey_only(make_batch):
    model = build().eval()
    images = torch.randn(1, 3, 32, 32)
    turned = images.roll(1, dims=1)  # other colours, the same mean
    for a, b in zip(model(images), model(turned)):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize('bgr_to_rgb', [True, False])
def test_colours_are_those_of_the_file(bgr_to_rgb):
    cfg = config()
    cfg['data_preprocessor']['bgr_to_rgb'] = bgr_to_rgb
    model = MODELS.build(cfg)
    bgr = torch.randint(256, (3, 32, 32), dtype=torch.uint8)
    batch = pseudo_collate([dict(inputs=bgr, data_samples=SegDataSample(
        metainfo=dict(img_shape=(32, 32))))])
    inputs = model.data_preprocessor(batch)['inputs']
    torch.testing.assert_close(
        model.colours(inputs)[0], bgr.flip(0) / 255, rtol=0, atol=1e-5)


def test_padding_is_no_target(monkeypatch):
    model = build()
    samples = [SegDataSample(metainfo=dict(padding_size=[0, 12, 0, 20]))]
    seen = {}
    at_points = model.head.at_points

    def spy(maps, points, size):
        seen['points'] = points
        return at_points(maps, points, size)

    monkeypatch.setattr(model.head, 'at_points', spy)
    model.loss(torch.randn(1, 3, 32, 32), samples)
    x, y = seen['points'].unbind(dim=2)
    assert x.max() < 20 and y.max() < 12
    assert x.max() > 14 and y.max() > 8


def test_prediction_is_that_of_single_points():
    model = build().eval()
    for level in model.head.projection.levels:
        torch.nn.init.normal_(level.weight)
    torch.nn.init.normal_(model.head.histograms.weight)
    images = torch.randn(1, 3, 32, 48)
    with torch.no_grad():
        maps = model(images)
        hue, chroma = model.head.dense(maps, (32, 48))
        points = torch.tensor([[[0, 0], [47, 31], [20, 17]]])
        of_hue, of_chroma = model.head.at_points(maps, points, (32, 48))
    from mmseg_ssl.methods.colorization.colour import circular_mean, median_of
    expected, length = circular_mean(of_hue.softmax(-1))
    fading = (length / (0.03 * of_hue.size(-1))).clamp(max=1)
    x, y = points[0].t()
    torch.testing.assert_close(
        hue[0, y, x], expected[0], rtol=0, atol=1e-4)
    torch.testing.assert_close(
        chroma[0, y, x], (median_of(of_chroma.softmax(-1)) * fading)[0],
        rtol=0, atol=1e-4)


def test_options_that_make_no_sense():
    with pytest.raises(ValueError, match='odd.*but got 4 and 128'):
        MODELS.build(dict(config(), window=4, num_points=128))
    with pytest.raises(ValueError, match="but got 'val'"):
        build()(torch.zeros(1, 3, 32, 32), mode='val')


@pytest.mark.usefixtures('sampler_that_skips')
def test_trains_without_labels_and_resumes(make_cfg):
    """Going on from a checkpoint ends where the whole run ends."""

    def run(name, **options) -> dict:
        cfg = make_cfg(config(), max_iters=4, semi=False, **options)
        cfg.work_dir += name
        cfg.default_hooks.checkpoint.update(interval=2, save_best=None)
        cfg.custom_hooks = [hook for hook in cfg.custom_hooks
                            if hook['type'] != 'MeanTeacherHook']
        dataset = cfg.train_dataloader.dataset
        dataset.type = 'UnlabeledDataset'
        dataset.data_prefix = dict(img_path='img_dir/train')
        dataset.pop('metainfo')
        dataset.pipeline = [t for t in dataset.pipeline
                            if t['type'] != 'LoadAnnotations']
        for key in ('val_dataloader', 'val_cfg', 'val_evaluator'):
            cfg[key] = None
        cfg.train_cfg.pop('val_interval')
        runner = Runner.from_cfg(cfg)
        runner.train()
        return runner.work_dir, runner.model.state_dict()

    folder, whole = run('whole')
    _, again = run('again', resume=True, load_from=f'{folder}/iter_2.pth')
    for key, value in whole.items():
        assert torch.equal(value, again[key]), key
