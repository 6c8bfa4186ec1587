"""PiCIE, PiCIE+H, MDC and K-means learn, label and predict."""
import copy

import pytest
import torch
import torch.nn.functional as F
from mmseg.registry import MODELS

from mmseg_ssl.evaluation import HungarianIoUMetric
from mmseg_ssl.methods.picie import BilinearFPN, PixelClustering

VARIANTS = {
    'PiCIE': dict(type='PiCIE'),
    'PiCIE+H': dict(type='PiCIE', over_clusters=8),
    'balanced': dict(type='PiCIE', balance=True, loss_weight=0.25),
    'MDC': dict(type='MDC'),
    'MDC+H': dict(type='MDC', over_clusters=8),
}


@pytest.fixture
def make_model(tiny_model):
    return lambda **options: MODELS.build(tiny_model(**options))


@pytest.mark.parametrize('variant', VARIANTS)
def test_losses_fall(make_model, make_batch, cluster, train, variant):
    # little noise, so that few steps show where the losses go
    calm = dict(jitter_prob=0.2, grey_prob=0.0, blur_prob=0.5,
                blur_sigma=(0.1, 0.5))
    model = make_model(**VARIANTS[variant], temperature=0.2, photometry=calm)
    batch = make_batch(6, 3, unlabeled=False)
    cluster(model, batch)
    history = train(model, [batch], steps=25)
    names = {'loss_within'} | ({'loss_cross'} if 'PiCIE' in variant
                               or variant == 'balanced' else set())
    assert {key for key in history if 'loss_' in key} == names
    for name in names:
        values = torch.tensor(history[name])
        assert values.isfinite().all()
        assert values[-5:].mean() < 0.94 * values[:3].mean(), name


def test_loss_is_what_the_equations_say(make_model, make_batch, cluster,
                                        monkeypatch):
    """Eq. 1-4, from features that are known."""
    model = make_model(over_clusters=5, loss_weight=0.5)
    batch = make_batch(4, 3, unlabeled=False)
    cluster(model, batch)
    data = model.data_preprocessor(batch, training=True)
    z = [torch.randn(2, 16, 3, 3) for _ in range(2)]
    frozen = [torch.randn(2, 16, 3, 3) for _ in range(2)]
    outputs = iter([frozen, z])
    monkeypatch.setattr(
        model, 'encode_views', lambda network, views: next(outputs))
    losses = model.loss(**data)

    within = cross = 0
    for head, weight in enumerate(model.head_weights):
        mu = [kmeans.centroids for kmeans in model.kmeans[head]]
        y = [torch.einsum('bdhw,kd->bkhw', F.normalize(x), m).argmax(1)
             for x, m in zip(frozen, mu)]

        def term(i, j, mu=mu, y=y):
            scores = torch.einsum('bdhw,kd->bkhw', F.normalize(z[i]), mu[j])
            picked = scores.log_softmax(1).gather(1, y[j].unsqueeze(1))
            return -picked.mean()

        within += weight * (term(0, 0) + term(1, 1))
        cross += weight * (term(0, 1) + term(1, 0))
    torch.testing.assert_close(losses['loss_within'], 0.5 * within)
    torch.testing.assert_close(losses['loss_cross'], 0.5 * cross)


def test_snapshot_is_frozen(make_model, make_batch, cluster, train):
    model = make_model()
    batch = make_batch(4, 3, unlabeled=False)
    cluster(model, batch)
    before = copy.deepcopy(model.snapshot.state_dict())
    centroids = model.kmeans[0][0].centroids.clone()
    train(model, [batch], steps=3)
    after = model.snapshot.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert torch.equal(centroids, model.kmeans[0][0].centroids)
    assert not model.snapshot.training and model.encoder.training
    moved = [key for key, value in model.encoder.state_dict().items()
             if not torch.equal(value, before[key])]
    assert len(moved) > 0.9 * len(before)
    model.freeze_snapshot()
    for key, value in model.encoder.state_dict().items():
        assert torch.equal(value, model.snapshot.state_dict()[key])
    assert not any(p.requires_grad for p in model.snapshot.parameters())


def test_new_norms_are_settled(make_model, make_batch):
    """The snapshot then gives the features that training starts with."""
    model = make_model()
    norms = [module for module in model.encoder.modules()
             if isinstance(module, torch.nn.BatchNorm2d)]
    # one is pre-trained: an old checkpoint without the number of batches
    norms[0].running_mean.fill_(0.5)
    data = [model.data_preprocessor(make_batch(24, 3, unlabeled=False), True)
            for _ in range(2)]
    model.train()
    new = copy.deepcopy(model.encoder).eval()
    before = copy.deepcopy(model.state_dict())
    assert model.settle_norms(iter(data)) == len(norms) - 1
    assert (norms[0].running_mean == 0.5).all()
    for norm in norms[1:]:
        assert norm.num_batches_tracked == 4  # two batches of two views
        assert norm.running_mean.abs().max() > 0.01
    assert all(norm.momentum == 0.1 and norm.training for norm in norms)
    for key, value in model.state_dict().items():
        changed = key.startswith('encoder') and (
            'running' in key or 'tracked' in key)
        assert changed or torch.equal(value, before[key]), key
    model.freeze_snapshot()
    images = model.make_views(data[0]['inputs']).plain
    model.encoder.train()
    norms[0].eval()
    with torch.no_grad():
        trained = model.encoder(images)
        errors = [(network(images) - trained).norm() / trained.norm()
                  for network in (model.snapshot, new)]
    assert errors[0] < 0.7 * errors[1], errors
    # they have seen images now: nothing is read, nothing changes
    assert model.settle_norms(pytest.fail(x) for x in data) == 0


def test_snapshot_computes_in_half_precision(
        make_model, make_batch, cluster):
    """Its labels stay, and so does the precision of what is trained."""
    model = make_model(snapshot_dtype='bfloat16')
    batch = make_batch(8, 3, unlabeled=False)
    cluster(model, batch)
    views = model.make_views(
        model.data_preprocessor(batch, training=True)['inputs'])
    half = model.encode_frozen(views)
    with torch.no_grad():
        exact = model.encode_views(model.encoder.eval(), views)
    for view, (x, y) in enumerate(zip(half, exact)):
        assert x.dtype == torch.float32
        assert 1e-4 < (x - y).norm() / y.norm() < 0.05
        same = model.label(x, view) == model.label(y, view)
        assert same.float().mean() > 0.97
    model.train()
    assert all(x.dtype == torch.float32
               for x in model.encode_views(model.encoder, views))
    assert model.loss(**model.data_preprocessor(batch, training=True))[
        'loss_within'].dtype == torch.float32


@pytest.mark.parametrize('method', ['PiCIE', 'MDC', 'FS4'])
def test_labels_and_losses_compare_alike(make_model, method):
    with pytest.raises(ValueError, match=(
            f"{method} learns by cosines, and metric='euclidean' would")):
        make_model(type=method, metric='euclidean')


@pytest.mark.parametrize('precision', [None, 'bfloat16'])
def test_checkpoints_of_either_precision_are_loaded(make_model, precision):
    source = make_model(snapshot_dtype='bfloat16')
    source.freeze_snapshot()
    model = make_model(snapshot_dtype=precision)
    model.load_state_dict(source.state_dict())
    for x, y in zip(model.parameters(), source.parameters(), strict=True):
        assert torch.equal(x.float(), y.float())
    dtypes = {x.dtype for x in model.snapshot.parameters()}
    assert (torch.bfloat16 in dtypes) == (precision is not None)
    assert {x.dtype for x in model.encoder.parameters()} == {torch.float32}


def test_unknown_precision_of_the_snapshot(make_model):
    with pytest.raises(ValueError, match="'int8' is none of .*'bfloat16'"):
        make_model(snapshot_dtype='int8')


def test_labels_come_from_the_snapshot(make_model, make_batch, cluster):
    """Whatever the encoder becomes, the labels of an epoch stay."""
    model = make_model()
    batch = make_batch(4, 3, unlabeled=False)
    cluster(model, batch)
    inputs = model.data_preprocessor(batch, training=True)['inputs']
    labels = []
    for _ in range(2):
        torch.manual_seed(3)
        features = model.view_features(inputs, [])
        labels.append([model.label(x, view)
                       for view, x in enumerate(features)])
        for parameter in model.encoder.parameters():
            torch.nn.init.normal_(parameter)
    for first, second in zip(*labels):
        assert first.shape == (4, 6, 6) and first.dtype == torch.int64
        assert torch.equal(first, second) and len(first.unique()) > 1


@pytest.mark.parametrize('options', [
    dict(type='PiCIE', over_clusters=8, test_cfg=dict(view=1)),
    dict(type='MDC'),
    dict(type='KMeansSegmentor'),
    dict(type='KMeansSegmentor', encoder=dict(type='RawPixels'), channels=3,
         metric='euclidean'),
])
def test_predicts_clusters(make_model, make_batch, cluster, options):
    model = make_model(**options).eval()
    batch = make_batch(8, 3, unlabeled=False)
    cluster(model, batch)
    for sample in batch['data_samples']:
        sample.set_metainfo(dict(ori_shape=(40, 36)))
    results = model.val_step(batch)
    for sample in results:
        assert sample.pred_sem_seg.data.shape == (1, 40, 36)
        assert sample.seg_logits.data.shape == (3, 40, 36)
        assert 0 <= sample.pred_sem_seg.data.min()
        assert sample.pred_sem_seg.data.max() < 3


def test_clustered_colours_segment_coloured_bands(make_model, make_batch,
                                                  cluster):
    model = make_model(
        type='KMeansSegmentor', encoder=dict(type='RawPixels'), channels=3,
        metric='euclidean').eval()
    batch = make_batch(8, 3, unlabeled=False)
    cluster(model, batch)
    metric = HungarianIoUMetric()
    metric.dataset_meta = dict(classes=('a', 'b', 'c'))
    metric.process({}, [s.to_dict() for s in model.val_step(batch)])
    # two of the colours are close, and the noise is strong
    assert metric.evaluate(8)['mIoU'] > 75


def test_predicting_without_samples(make_model, make_batch, cluster):
    model = make_model().eval()
    cluster(model, make_batch(4, 3, unlabeled=False))
    result, = model(torch.zeros(1, 3, 32, 48), mode='predict')
    assert result.pred_sem_seg.data.shape == (1, 32, 48)
    assert model(torch.zeros(1, 3, 32, 48)).shape == (1, 3, 32, 48)


def test_state_round_trip(make_model, make_batch, cluster):
    """What a checkpoint holds is enough to predict the same."""
    model = make_model(over_clusters=8).eval()
    batch = make_batch(4, 3, unlabeled=False)
    cluster(model, batch, epoch=5)
    other = make_model(over_clusters=8).eval()
    other.load_state_dict(model.state_dict())
    assert other.clustered_epoch == 5
    for first, second in zip(model.val_step(batch), other.val_step(batch)):
        assert torch.equal(first.pred_sem_seg.data, second.pred_sem_seg.data)


def test_fpn_adds_from_coarse_to_fine():
    neck = BilinearFPN([2, 3, 4], 5)
    sizes = [(8, 12), (4, 6), (2, 3)]
    levels = [torch.randn(1, c, *size) for c, size in zip((2, 3, 4), sizes)]
    x = [conv(level) for conv, level in zip(neck.laterals, levels)]

    def up(y, size):
        return F.interpolate(y, size, mode='bilinear', align_corners=False)

    expected = x[0] + up(x[1] + up(x[2], sizes[1]), sizes[0])
    torch.testing.assert_close(neck(tuple(levels)), expected)
    with pytest.raises(ValueError, match='3 levels.*backbone gives 2'):
        neck(tuple(levels[:2]))


def test_balance_weighs_small_clusters_more(make_model, make_batch, cluster):
    losses = {}
    for balance in (False, True):
        torch.manual_seed(0)
        model = make_model(balance=balance)
        cluster(model, make_batch(4, 3, unlabeled=False))
        kmeans = model.kmeans[0][0]
        kmeans.counts.copy_(torch.tensor([1, 98, 0]))
        centroids = kmeans.centroids
        features = centroids[[0, 1]].t().reshape(1, 16, 1, 2)
        labels = torch.tensor([[[1, 1]]])
        labels[0, 0, 1] = 0
        scores = model.scores(features)
        losses[balance] = model.loss_of_scores(scores, labels, 0, 0)
        first = model.loss_of_scores(scores[..., 1:], labels[..., 1:], 0, 0)
    # label 0 (98 times rarer) has nearly all the weight
    torch.testing.assert_close(losses[True], first, rtol=0.05, atol=0)
    assert losses[True].isfinite()


def test_a_dead_cluster_does_no_harm(make_model, make_batch, cluster, train):
    model = make_model(num_clusters=4, balance=True)
    batch = make_batch(4, 3, unlabeled=False)
    cluster(model, batch)
    for kmeans in model.kmeans[0]:
        kmeans.counts[2] = 0
        kmeans.centroids[2] = -kmeans.centroids[[0, 1, 3]].mean(0)
    history = train(model, [batch], steps=2)
    assert all(torch.tensor(v).isfinite().all() for v in history.values())


def test_wrong_arguments(make_model):
    for options, message in [
            (dict(over_clusters=3), 'over_clusters=3 must be more than'),
            (dict(test_cfg=dict(view=2)), 'view=2 is not one of the 2 views'),
            (dict(temperature=0), 'temperature must be > 0'),
            (dict(type='MDC', test_cfg=dict(view=1)), '1 views of MDC')]:
        with pytest.raises(ValueError, match=message):
            make_model(**options)


def test_images_smaller_than_the_views(make_model, make_batch):
    model = make_model(view_size=(33, 32))
    data = model.data_preprocessor(
        make_batch(2, 3, unlabeled=False), training=True)
    with pytest.raises(ValueError, match='smaller than view_size=.33, 32'):
        model.loss(**data)


def test_images_smaller_than_the_crop(make_model, make_batch, tiny_model):
    preprocessor = {**tiny_model()['data_preprocessor'], 'size': (32, 40)}
    model = make_model(data_preprocessor=preprocessor)
    data = model.data_preprocessor(
        make_batch(2, 3, unlabeled=False), training=True)
    message = r'image drawn\.png is .* padded by 8x0 pixels'
    with pytest.raises(ValueError, match=message):
        model.loss(**data)
    with pytest.raises(ValueError, match=message):
        model.view_features(**data)


def test_nothing_is_clustered_yet(make_model, make_batch):
    model = make_model().eval()
    with pytest.raises(RuntimeError, match='OfflineClusteringHook'):
        model.val_step(make_batch(1, 3, unlabeled=False))
    kmeans = make_model(type='KMeansSegmentor')
    with pytest.raises(RuntimeError, match='ClusteringLoop'):
        kmeans.loss(torch.zeros(1, 3, 32, 32), [])


def test_base_class_is_abstract():
    with pytest.raises(TypeError, match='make_views'):
        PixelClustering(dict(type='RawPixels'), 3)
