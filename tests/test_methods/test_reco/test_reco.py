import copy

import pytest
import torch
from mmengine.runner import load_checkpoint
from mmseg.registry import MODELS
from torch import nn

from mmseg_ssl.methods.reco import ReCo

NO_AUGMENTATION = dict(
    scale=(1.0, 1.0), jitter_prob=0.0, blur_prob=0.0, flip_prob=0.0)
LOSS = dict(type='RegionalContrastLoss', num_queries=16, num_keys=32)


@pytest.fixture
def make_model(tiny_segmentor):

    def make(base='deeplabv3plus_r18-d16', num_classes=3, tap='classifier',
             **kwargs) -> ReCo:
        segmentor = tiny_segmentor(base, num_classes)
        segmentor.decode_head = dict(
            type='EmbeddingHead', head=segmentor.decode_head, tap=tap,
            embed_channels=12, hidden_channels=8)
        kwargs = {'augmentation': NO_AUGMENTATION, 'mixing': None, **kwargs}
        return MODELS.build(dict(
            type='ReCo', segmentor=segmentor, loss_contrast=LOSS,
            **kwargs)).train()

    return make


class Recorder(nn.Module):
    """Stands in for the contrast loss and keeps what it was given."""

    def forward(self, embedding, label, prob):
        self.embedding, self.label, self.prob = embedding, label, prob
        return embedding.sum() * 0


def test_contrast_sees_labelled_and_confident_pixels(make_model, make_batch):
    model = make_model(base='fcn_r18-d16')
    batch = make_batch(2)
    model.loss_contrast = recorder = Recorder()
    data = model.data_preprocessor(batch, training=True)
    views = model.make_views(
        data['inputs']['unlabeled'], data['data_samples']['unlabeled'])
    model.weak_threshold = views.confidence.median().item()
    student = copy.deepcopy(model.student)
    model(**data, mode='loss')

    embeddings, probs = [], []
    for images in (data['inputs']['labeled'], views.images):
        logits, embedding = student.decode_head(student.extract_feat(images))
        embeddings.append(embedding)
        probs.append(logits.softmax(1))
    torch.testing.assert_close(recorder.embedding, torch.cat(embeddings))
    assert recorder.embedding.requires_grad
    torch.testing.assert_close(recorder.prob, torch.cat(probs))
    assert not recorder.prob.requires_grad

    stride = 32 // recorder.label.size(1)
    centres = slice(stride // 2, None, stride)
    truth = torch.cat(
        [s.gt_sem_seg.data for s in data['data_samples']['labeled']])
    labels, confidence = (x[:, centres, centres]
                          for x in (views.labels, views.confidence))
    kept = confidence >= model.weak_threshold
    assert 0 < kept.float().mean() < 1
    expected = torch.cat(
        [truth[:, centres, centres], torch.where(kept, labels, 255)])
    assert torch.equal(recorder.label, expected)


def test_a_pixel_at_the_weak_threshold_takes_part(make_model, make_batch):
    model = make_model()
    model.loss_contrast = recorder = Recorder()
    data = model.data_preprocessor(make_batch(2), training=True)
    views = model.make_views(
        data['inputs']['unlabeled'], data['data_samples']['unlabeled'])
    for threshold, takes_part in ((0.25, True), (0.26, False)):
        model.weak_threshold = threshold
        labeled, unlabeled = (model.run_student(x) for x in (
            data['inputs']['labeled'], views.images))
        model.loss_by_both(
            labeled, unlabeled, data['data_samples']['labeled'],
            views._replace(confidence=torch.full_like(
                views.confidence, 0.25)))
        assert (recorder.label[2:] != 255).all() == takes_part
        assert (recorder.label[2:] != 255).any() == takes_part


def test_total_loss_is_the_sum_of_three(make_model, make_batch):
    model = make_model(strong_threshold=0.0)
    losses = model(**model.data_preprocessor(make_batch(), True), mode='loss')
    total, _ = model.parse_losses(losses)
    parts = [losses[k] for k in ('loss_ce', 'loss_unsup', 'loss_reco')]
    assert all(part > 0 for part in parts)
    torch.testing.assert_close(total, sum(parts))
    total.backward()
    assert all(p.grad is not None for p in model.student.parameters())
    assert all(p.grad is None for p in model.teacher.parameters())


@pytest.mark.parametrize('label', [1, 255])
def test_every_weight_has_a_gradient_without_contrast(
        make_model, make_batch, label):
    """Else distributed training would wait for it for ever."""
    model = make_model(weak_threshold=1.1)  # nothing unlabelled takes part
    batch = make_batch()
    for sample in batch['labeled']['data_samples']:
        sample.gt_sem_seg.data.fill_(label)
    losses = model(**model.data_preprocessor(batch, True), mode='loss')
    assert losses['loss_reco'] == 0
    model.parse_losses(losses)[0].backward()
    for name, parameter in model.student.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


def test_contrast_gradient_comes_from_both_branches(make_model, make_batch):
    model = make_model(weak_threshold=0.0)

    class Sum(nn.Module):
        """No sampling: the sum over valid pixels shows who takes part."""

        def forward(self, embedding, label, prob):
            valid = (label != 255).unsqueeze(1)
            return (embedding * valid).square().sum()

    model.loss_contrast = Sum()
    data = model.data_preprocessor(make_batch(), training=True)
    for branch in ('labeled', 'unlabeled'):
        data['inputs'][branch].requires_grad_()
    losses = model(**data, mode='loss')
    losses['loss_reco'].backward()
    assert data['inputs']['labeled'].grad.abs().sum() > 0
    # the views carry no gradient to the images, but the student's forward of
    # them does to the weights: it differs from that of labelled images alone
    weight = model.student.decode_head.projector[1].weight
    both = weight.grad.clone()
    model.zero_grad()
    model.weak_threshold = 1.1
    model(**data, mode='loss')['loss_reco'].backward()
    assert not torch.allclose(both, weight.grad)


def test_prediction_makes_no_embedding(make_model, make_batch):
    model = make_model().eval()
    calls = []
    for net in (model.student, model.teacher.module):
        net.decode_head.projector.register_forward_hook(
            lambda *_: calls.append(1))
    model.test_step(make_batch(unlabeled=False))
    model.pseudo_label(torch.randn(2, 3, 32, 32), [{}, {}])
    assert not calls


def test_a_single_output_channel_is_refused(tiny_segmentor):
    segmentor = tiny_segmentor(num_classes=2)
    segmentor.decode_head.out_channels = 1
    segmentor.decode_head.loss_decode.use_sigmoid = True
    segmentor.decode_head = dict(
        type='EmbeddingHead', head=segmentor.decode_head)
    with pytest.raises(ValueError, match='out_channels'):
        MODELS.build(dict(
            type='ReCo', segmentor=segmentor, loss_contrast=LOSS))


def test_another_head_is_refused(tiny_segmentor):
    with pytest.raises(ValueError, match='EmbeddingHead.*DepthwiseSeparable'):
        MODELS.build(dict(
            type='ReCo', segmentor=tiny_segmentor(), loss_contrast=LOSS))


def test_a_second_contrast_loss_is_refused(tiny_segmentor):
    segmentor = tiny_segmentor()
    segmentor.decode_head = dict(
        type='EmbeddingHead', head=segmentor.decode_head, loss_contrast=LOSS)
    with pytest.raises(ValueError, match='without loss_contrast'):
        MODELS.build(dict(
            type='ReCo', segmentor=segmentor, loss_contrast=LOSS))


def test_branches_of_different_size_are_refused(make_model, make_batch):
    model = make_model()
    batch = make_batch()
    batch['unlabeled']['inputs'] = [
        image.repeat(1, 2, 2) for image in batch['unlabeled']['inputs']]
    with pytest.raises(ValueError, match=r'\(8, 8\) and\s+\(16, 16\) cells'):
        model(**model.data_preprocessor(batch, training=True), mode='loss')


@pytest.mark.parametrize('wrapped', [False, True])
def test_a_segmentors_checkpoint_loads_into_both(
        make_model, tiny_segmentor, tmp_path, wrapped):
    cfg = tiny_segmentor()
    if wrapped:  # ReCo + supervised
        cfg.decode_head = dict(
            type='EmbeddingHead', head=cfg.decode_head, embed_channels=12,
            hidden_channels=8, loss_contrast=LOSS)
    plain = MODELS.build(cfg)
    path = tmp_path / 'plain.pth'
    torch.save(dict(state_dict=plain.state_dict()), path)
    model = make_model()
    load_checkpoint(model, str(path))
    for net in (model.student, model.teacher.module):
        for key, value in plain.state_dict().items():
            if key.startswith('decode_head.') and not wrapped:
                key = key.replace('decode_head.', 'decode_head.head.', 1)
            assert torch.equal(net.state_dict()[key], value)

    if wrapped:
        load_checkpoint(model, str(path), strict=True)
    else:
        with pytest.raises(RuntimeError) as error:
            load_checkpoint(model, str(path), strict=True)
        message = str(error.value)
        assert 'unexpected' not in message
        missing = message.split(':')[-1].split(',')
        assert len(missing) == 14  # conv, bn (4), conv (2), of two networks
        assert all('.decode_head.projector.' in key for key in missing)


def test_checkpoint_has_no_state_of_the_loss(make_model):
    model = make_model()
    assert {key.split('.')[0] for key in model.state_dict()} == {
        'student', 'teacher'}
