"""Every method trains, on every head, with few and many classes."""
import copy

import pytest
import torch
from mmseg.registry import MODELS

LOSS = dict(type='RegionalContrastLoss', num_queries=16, num_keys=32)
METHODS = ['supervised', 'mean_teacher', 'reco-supervised', 'reco']
MIXINGS = [None, 'cutout', 'cutmix', 'classmix']
SETTINGS = [('supervised', None), ('reco-supervised', None),
            *(('mean_teacher', mixing) for mixing in MIXINGS),
            *(('reco', mixing) for mixing in MIXINGS)]
HEADS = ['deeplabv3plus_r18-d16', 'deeplabv3plus_mbv2-d16', 'fcn_r18-d16',
         'pspnet_r18-d16', 'segformer_mit-b0']


@pytest.fixture
def make_model(tiny_segmentor):
    """Build a method around a tiny segmentor, as the configs do."""

    def make(method, mixing, base, num_classes) -> torch.nn.Module:
        segmentor = tiny_segmentor(base, num_classes)
        if method.startswith('reco'):
            segmentor.decode_head = dict(
                type='EmbeddingHead', head=segmentor.decode_head,
                embed_channels=12, hidden_channels=8)
        if method == 'reco-supervised':
            segmentor.decode_head.loss_contrast = LOSS
        if method in ('supervised', 'reco-supervised'):
            return MODELS.build(segmentor)
        cfg = dict(type='MeanTeacher', segmentor=segmentor, mixing=mixing,
                   strong_threshold=0.4, augmentation=dict(scale=(0.8, 1.2)))
        if method == 'reco':
            cfg.update(type='ReCo', loss_contrast=LOSS)
        return MODELS.build(cfg)

    return make


# All settings with one head; other heads and two classes with a few settings.
CASES = [
    *((method, mixing, HEADS[0], 3) for method, mixing in SETTINGS),
    *((method, 'classmix', base, 3) for method in ('mean_teacher', 'reco')
      for base in HEADS[1:]),
    *((method, 'classmix', HEADS[0], 2) for method in METHODS),
]


@pytest.mark.parametrize('method, mixing, base, num_classes', CASES)
def test_losses_fall(make_model, make_batch, train, method, mixing, base,
                     num_classes):
    model = make_model(method, mixing, base, num_classes)
    semi = method in ('mean_teacher', 'reco')
    if method == 'reco':
        # As the teacher becomes sure, pixels join that are harder to contrast,
        # and the loss rises; here the labelled ones stay alone.
        model.weak_threshold = 1.1
    batch = make_batch(4, num_classes, unlabeled=semi)
    history = {
        key.removeprefix('decode.'): torch.tensor(values)
        for key, values in train(model, [batch], steps=30).items()}

    expected = {'supervised': {'loss_ce'},
                'reco-supervised': {'loss_ce', 'loss_reco'},
                'mean_teacher': {'loss_ce', 'loss_unsup'},
                'reco': {'loss_ce', 'loss_unsup', 'loss_reco'}}[method]
    assert {key for key in history if 'loss_' in key} == expected
    assert all(values.isfinite().all() for values in history.values())
    assert history['loss_ce'][-4:].mean() < 0.95 * history['loss_ce'][0]
    if 'loss_reco' in expected:
        assert (history['loss_reco'][-4:].mean()
                < 0.985 * history['loss_reco'][0])
    if semi:
        assert (history['confident_share'][-4:] > 0).all()
        assert (history['loss_unsup'][-4:] > 0).all()


@pytest.mark.parametrize('method', METHODS)
def test_labels_of_one_class_only(make_model, make_batch, train, method):
    """A batch may hold a single class, or nothing but void."""
    model = make_model(method, 'classmix', HEADS[0], 3)
    semi = method in ('mean_teacher', 'reco')
    batches = [make_batch(2, 3, seed, unlabeled=semi) for seed in range(2)]
    for batch, value in zip(batches, (1, 255)):
        branch = batch['labeled'] if semi else batch
        for sample in branch['data_samples']:
            sample.gt_sem_seg.data.fill_(value)
    history = train(model, batches, steps=4)
    for values in history.values():
        assert torch.tensor(values).isfinite().all()
    for parameter in model.parameters():
        assert parameter.isfinite().all()


@pytest.mark.parametrize('method', METHODS)
def test_mixed_precision_on_a_cpu(make_model, make_batch, method):
    """The same losses in bfloat16, but for its precision."""
    model = make_model(method, None, HEADS[0], 3)
    batch = make_batch(4, 3, unlabeled=method in ('mean_teacher', 'reco'))
    data = model.data_preprocessor(batch, training=True)
    model.train()
    losses = []
    for enabled in (False, True):
        torch.manual_seed(0)
        with torch.autocast('cpu', torch.bfloat16, enabled=enabled):
            losses.append(model(**copy.deepcopy(data), mode='loss'))
        model.parse_losses(losses[-1])[0].backward()
        assert all(p.grad.isfinite().all() for p in model.parameters()
                   if p.requires_grad)
    for key in (key for key in losses[0] if 'loss' in key):
        assert losses[1][key].dtype == torch.float32, key
        torch.testing.assert_close(
            losses[1][key], losses[0][key], rtol=0.1, atol=0.05)


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
@pytest.mark.parametrize('dtype', ['float16', 'bfloat16'])
@pytest.mark.parametrize('method', METHODS)
def test_mixed_precision(make_model, make_batch, method, dtype):
    from mmengine.optim import AmpOptimWrapper

    model = make_model(method, 'classmix', HEADS[0], 3).to('cuda').train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    optim_wrapper = AmpOptimWrapper(optimizer=optimizer, dtype=dtype)
    batch = make_batch(4, 3, unlabeled=method in ('mean_teacher', 'reco'))
    losses = []
    for _ in range(30):
        logged = model.train_step(copy.deepcopy(batch), optim_wrapper)
        if hasattr(model, 'teacher'):
            model.teacher.update_parameters(model.student)
        assert all(value.isfinite() for value in logged.values())
        losses.append(logged.get('loss_ce', logged.get('decode.loss_ce')))
    assert losses[-1] < 0.8 * losses[0]
