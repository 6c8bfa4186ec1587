"""FS4: its encoder, its heads and its losses."""
import pytest
import torch
import torch.nn.functional as F
from mmseg.registry import MODELS

from mmseg_ssl.methods.fs4 import (
    CAMHead,
    ContextPixelEncoder,
    ModifiedCAMHead,
)

BACKBONE = dict(
    type='ResNet', depth=18, base_channels=8, stem_channels=8,
    out_indices=(0, 1, 2, 3), norm_cfg=dict(type='BN'))
NECK = dict(type='BilinearFPN', in_channels=[8, 16, 32, 64], out_channels=16)


@pytest.fixture
def make_model():

    def make(head: str = 'ModifiedCAMHead', **options):
        cfg = dict(
            type='FS4', channels=16, num_clusters=3, view_size=(32, 32),
            encoder=dict(type='ContextPixelEncoder', backbone=BACKBONE,
                         neck=NECK, channels=16),
            photometry=dict(jitter_prob=0.2, grey_prob=0.0,
                            blur_sigma=(0.1, 0.5)),
            global_head=dict(type=head, in_channels=16, num_clusters=5),
            data_preprocessor=dict(
                type='SegDataPreProcessor', mean=[123.675, 116.28, 103.53],
                std=[58.395, 57.12, 57.375], bgr_to_rgb=True, size=(32, 32)))
        return MODELS.build({**cfg, **options})

    return make


@pytest.fixture
def labeled_batch(make_batch):
    """Images with a global label, but for the last."""
    batch = make_batch(6, 3, unlabeled=False)
    for label, sample in zip((0, 1, 2, 3, 4), batch['data_samples']):
        sample.set_metainfo(dict(global_label=label))
    return batch


def cluster(model, batch) -> None:
    """Do what the hook does, on one batch."""
    model.freeze_snapshot()
    data = model.data_preprocessor(batch, training=True)
    features = model.view_features(**data)
    for _, view, kmeans in model.clusterings():
        kmeans.fit(features[view].permute(0, 2, 3, 1).flatten(0, 2))
    model.clustered_epoch.fill_(0)


@pytest.mark.parametrize('options', [
    dict(head='CAMHead'), dict(),
    dict(over_clusters=8, global_weight=0.5)])
def test_losses_fall(make_model, labeled_batch, train, options):
    model = make_model(**options, temperature=0.2)
    cluster(model, labeled_batch)
    history = train(model, [labeled_batch], steps=30, lr=5e-3)
    assert {k for k in history if 'loss_' in k} == {
        'loss_within', 'loss_cross', 'loss_global'}
    for name, factor in (('loss_within', 0.97), ('loss_global', 0.97),
                         ('loss', 0.97)):
        values = torch.tensor(history[name])
        assert values.isfinite().all()
        assert values[-6:].mean() < factor * values[:3].mean(), name


def test_every_parameter_learns(make_model, labeled_batch):
    """DistributedDataParallel waits for parameters that get no gradient."""
    model = make_model().train()
    cluster(model, labeled_batch)
    data = model.data_preprocessor(labeled_batch, training=True)
    model.parse_losses(model.loss(**data))[0].backward()
    assert [name for name, p in model.named_parameters()
            if p.requires_grad and (p.grad is None or not p.grad.any())] == []


def test_predicts_and_publishes_without_head(make_model, labeled_batch):
    model = make_model().eval()
    cluster(model, labeled_batch)
    result = model.val_step(labeled_batch)[0]
    assert result.pred_sem_seg.data.shape == (1, 32, 32)
    assert {'snapshot', 'global_head'} <= set(model.training_only)


def test_images_without_global_labels(make_model, make_batch):
    model = make_model().train()
    batch = make_batch(3, 3, unlabeled=False)
    cluster(model, batch)
    losses = model.loss(**model.data_preprocessor(batch, training=True))
    assert losses['loss_global'] == 0
    sum(losses.values()).backward()
    assert all(p.grad.isfinite().all() for p in model.global_head.parameters())


def test_label_of_too_many_clusters(make_model, labeled_batch):
    model = make_model(
        global_head=dict(type='CAMHead', in_channels=16, num_clusters=4))
    cluster(model, labeled_batch)
    with pytest.raises(ValueError, match='global_label=4 of drawn.png is not '
                                         r'in 0\.\.3'):
        model.loss(**model.data_preprocessor(labeled_batch, training=True))


def test_heads_are_what_they_say():
    features = torch.randn(4, 6, 3, 5)
    for head in (CAMHead(6, 7), ModifiedCAMHead(6, 7)):
        scores = F.conv2d(features, head.conv.weight,
                          head.conv.bias).flatten(2).mean(2)
        if isinstance(head, ModifiedCAMHead):
            scores = scores.clamp(min=0) @ head.linear.weight.t()
            scores = scores + head.linear.bias
        torch.testing.assert_close(head(features), scores)
        loss = head.loss(features, [3, None, 0, None])
        expected = -(scores[0].log_softmax(0)[3]
                     + scores[2].log_softmax(0)[0]) / 2
        torch.testing.assert_close(loss, expected)


def test_encoder():
    encoder = ContextPixelEncoder(BACKBONE, NECK, 16)
    images = torch.randn(2, 3, 72, 104)
    features = encoder(images)
    assert features.shape == (2, 16, 9, 13)
    # the far corner of the image matters everywhere, by the context alone
    encoder.eval()
    features = encoder(images)
    nearby = encoder.neck(encoder.backbone(images))
    torch.testing.assert_close(
        encoder.projector(F.adaptive_avg_pool2d(nearby, (9, 13)))
        + F.interpolate(
            encoder.context(F.adaptive_avg_pool2d(nearby, (5, 7)), images),
            (9, 13), mode='bilinear'), features)
    other = ContextPixelEncoder(
        BACKBONE, NECK, 16, context=dict(use_features=False),
        context_stride=8, out_stride=4)
    assert not other.context.use_features
    assert other(images).shape == (2, 16, 18, 26)
