import copy
import math

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from mmengine.runner import load_checkpoint
from mmengine.structures import PixelData
from mmseg.apis import inference_model, init_model
from mmseg.registry import MODELS
from torch import Tensor, nn

from mmseg_ssl.datasets.augmentation import PseudoLabeled
from mmseg_ssl.methods.mean_teacher import MeanTeacher
from mmseg_ssl.methods.mean_teacher.mean_teacher import StudentOutputs

NO_AUGMENTATION = dict(
    scale=(1.0, 1.0), jitter_prob=0.0, blur_prob=0.0, flip_prob=0.0)


@pytest.fixture
def make_model(tiny_segmentor):
    """Build a tiny MeanTeacher whose teacher is not its student."""

    def make(auxiliary=False, **kwargs) -> MeanTeacher:
        kwargs = {'augmentation': NO_AUGMENTATION, 'mixing': None, **kwargs}
        model = MODELS.build(dict(
            type='MeanTeacher',
            segmentor=tiny_segmentor(auxiliary=auxiliary), **kwargs))
        with torch.no_grad():
            for net in (model.student, model.teacher.module):
                # spread the logits, so that some pixels are confident
                net.decode_head.conv_seg.weight.normal_(std=2)
        return model.train()

    return make


def slow_loss(logits: Tensor, views: PseudoLabeled, threshold: float,
              ) -> tuple[float, float]:
    """Eq. 6 of ReCo pixel by pixel, in float64: the loss, the mean eta.

    Args:
        logits (Tensor): Shape (B, C, H, W).
        views (PseudoLabeled): Labels and confidence, shape (B, H, W).
        threshold (float): delta_s.
    """
    num_valid, total, etas = 0, 0.0, []
    for scores, labels, confidence in zip(logits.double().tolist(),
                                          views.labels.tolist(),
                                          views.confidence.tolist()):
        cross_entropies, num_confident = [], 0
        for y, row in enumerate(labels):
            for x, label in enumerate(row):
                if label == 255:
                    continue
                num_confident += confidence[y][x] > threshold
                exponentials = [math.exp(plane[y][x]) for plane in scores]
                cross_entropies.append(-math.log(
                    exponentials[label] / sum(exponentials)))
        etas.append(num_confident / max(len(cross_entropies), 1))
        total += etas[-1] * sum(cross_entropies)
        num_valid += len(cross_entropies)
    return total / max(num_valid, 1), sum(etas) / len(etas)


def random_views(batch_size=3, size=(8, 12), num_classes=4) -> PseudoLabeled:
    """Views with void pixels and a different confidence in each image."""
    labels = torch.randint(0, num_classes, (batch_size, *size))
    confidence = torch.rand(batch_size, *size)
    confidence **= 2.0**-torch.arange(batch_size).view(-1, 1, 1)
    void = torch.rand(batch_size, *size) < 0.3
    return PseudoLabeled(
        torch.zeros(batch_size, 3, *size),
        labels.masked_fill(void, 255), confidence.masked_fill(void, 0))


@pytest.mark.parametrize('threshold', [0.5, 0.97])
def test_loss_by_pseudo_labels_equals_the_slow_one(make_model, threshold):
    model = make_model(strong_threshold=threshold)
    views = random_views()
    logits = 3 * torch.randn(3, 4, 8, 12)
    losses = model.loss_by_pseudo_labels(StudentOutputs((), logits), views)
    expected, share = slow_loss(logits, views, threshold)
    assert 0 < share < 1
    assert losses['loss_unsup'].item() == pytest.approx(expected, rel=1e-5)
    assert losses['confident_share'].item() == pytest.approx(share, rel=1e-5)


def test_images_are_weighted_each_by_its_own_confident_share(make_model):
    model = make_model(strong_threshold=0.9)
    logits = torch.zeros(2, 4, 4, 4, requires_grad=True)
    confidence = torch.stack([torch.full((4, 4), 0.95), torch.zeros(4, 4)])
    confidence[1, 0, 0] = 0.95
    views = PseudoLabeled(torch.zeros(2, 3, 4, 4),
                          torch.zeros(2, 4, 4).long(), confidence)
    losses = model.loss_by_pseudo_labels(StudentOutputs((), logits), views)
    losses['loss_unsup'].backward()
    certain, doubtful = logits.grad.abs().sum((1, 2, 3))
    assert certain / doubtful == pytest.approx(16)
    # pixels that are not confident themselves learn as well
    assert (logits.grad[1] != 0).all()


def test_a_pixel_at_the_threshold_is_not_confident(make_model):
    model = make_model(strong_threshold=0.5)
    views = random_views()._replace(confidence=torch.full((3, 8, 12), 0.5))
    outputs = StudentOutputs((), torch.randn(3, 4, 8, 12))
    losses = model.loss_by_pseudo_labels(outputs, views)
    assert losses['confident_share'] == 0
    assert losses['loss_unsup'] == 0


def test_void_everywhere_is_a_zero_with_a_graph(make_model):
    views = random_views()
    views.labels.fill_(255)
    views.confidence.fill_(0)
    logits = torch.randn(3, 4, 8, 12, requires_grad=True)
    losses = make_model().loss_by_pseudo_labels(
        StudentOutputs((), logits), views)
    losses['loss_unsup'].backward()
    assert losses['loss_unsup'] == 0
    assert torch.equal(logits.grad, torch.zeros_like(logits))


def test_logits_are_resized_to_the_labels(make_model):
    views = random_views(size=(16, 24))
    logits = torch.randn(3, 4, 4, 6)
    losses = make_model(strong_threshold=0.3).loss_by_pseudo_labels(
        StudentOutputs((), logits), views)
    large = nn.functional.interpolate(logits, (16, 24), mode='bilinear')
    expected, _ = slow_loss(large, views, 0.3)
    assert losses['loss_unsup'].item() == pytest.approx(expected, rel=1e-5)


def slow_mean_teacher(model: MeanTeacher, inputs: dict, truth: list
                      ) -> tuple[float, float]:
    """Supervised and unsupervised loss without mixing and augmentation."""

    def upsampled(net, images) -> Tensor:
        return nn.functional.interpolate(
            net.decode_head(net.extract_feat(images)), images.shape[2:],
            mode='bilinear').detach()

    teacher = copy.deepcopy(model.teacher.module).eval()
    if model.teacher.norm_statistics == 'own':
        for module in teacher.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.train()
    student = copy.deepcopy(model.student).train()
    probability = upsampled(teacher, inputs['unlabeled']).softmax(1)
    confidence, labels = probability.max(1)
    views = PseudoLabeled(inputs['unlabeled'], labels, confidence)
    unsup, _ = slow_loss(upsampled(student, inputs['unlabeled']), views,
                         model.strong_threshold)
    everything_confident = PseudoLabeled(
        inputs['labeled'],
        torch.cat([sample.gt_sem_seg.data for sample in truth]),
        torch.ones_like(confidence))
    sup, _ = slow_loss(
        upsampled(student, inputs['labeled']), everything_confident, 0.5)
    return sup, unsup


@pytest.mark.parametrize('norm_statistics', ['student', 'own'])
def test_whole_loss_equals_the_slow_one(
        make_model, make_batch, norm_statistics):
    model = make_model(norm_statistics=norm_statistics)
    data = model.data_preprocessor(make_batch(), training=True)
    model.strong_threshold = model.pseudo_label(
        data['inputs']['unlabeled'],
        data['data_samples']['unlabeled']).confidence.median().item()
    losses = model(**data, mode='loss')
    sup, unsup = slow_mean_teacher(
        model, data['inputs'], data['data_samples']['labeled'])
    assert 0 < losses['confident_share'] < 1
    # every pixel counts, but for the void ones (avg_non_ignore=True)
    assert losses['loss_ce'].item() == pytest.approx(sup, rel=1e-4)
    assert losses['loss_unsup'].item() == pytest.approx(unsup, rel=1e-4)


def test_pseudo_labels_are_what_the_teacher_predicts(make_model, make_batch):
    model = make_model(norm_statistics='student')
    data = model.data_preprocessor(make_batch(), training=True)
    images, samples = (data[k]['unlabeled'] for k in ('inputs',
                                                      'data_samples'))
    views = model.make_views(images, samples)
    teacher = copy.deepcopy(model.teacher.module).eval()
    expected = teacher.predict(images)
    for labels, confidence, sample in zip(views.labels, views.confidence,
                                          expected):
        assert torch.equal(labels, sample.pred_sem_seg.data[0])
        torch.testing.assert_close(
            confidence, sample.seg_logits.data.softmax(0).max(0).values)
    torch.testing.assert_close(views.images, images)


def test_padding_is_void(make_model, make_batch):
    batch = make_batch()
    images = batch['unlabeled']['inputs']
    images[0] = images[0][:, :20, :28]
    model = make_model(strong_threshold=0.0)
    data = model.data_preprocessor(batch, training=True)
    views = model.make_views(
        data['inputs']['unlabeled'], data['data_samples']['unlabeled'])
    assert views.labels.shape == (2, 32, 32)
    valid = views.labels != 255
    expected = torch.ones(2, 32, 32, dtype=torch.bool)
    expected[0, 20:] = False
    expected[0, :, 28:] = False
    assert torch.equal(valid, expected)
    assert torch.equal(views.confidence > 0, expected)


def test_gradients_reach_every_weight_of_the_student_and_no_other(
        make_model, make_batch):
    model = make_model(auxiliary=True, strong_threshold=0.0)
    losses = model(**model.data_preprocessor(make_batch(), True), mode='loss')
    total, logged = model.parse_losses(losses)
    total.backward()
    assert all(p.grad is not None for p in model.student.parameters())
    assert all(p.grad is None for p in model.teacher.parameters())
    assert total.item() == pytest.approx(sum(
        losses[k].item() for k in ('loss_ce', 'aux.loss_ce', 'loss_unsup')),
        rel=1e-5)
    assert {'confident_share', 'acc_seg', 'aux.acc_seg'} <= set(logged)


def test_unsupervised_gradient_alone_reaches_the_student(
        make_model, make_batch):
    model = make_model(strong_threshold=0.0)
    losses = model(**model.data_preprocessor(make_batch(), True), mode='loss')
    losses['loss_unsup'].backward()
    assert model.student.backbone.conv1.weight.grad.abs().sum() > 0


def test_auxiliary_head_learns_from_labels_only(make_model, make_batch):
    model = make_model(auxiliary=True)
    data = model.data_preprocessor(make_batch(), training=True)
    losses = model(**data, mode='loss')
    features = model.student.extract_feat(data['inputs']['labeled'])
    expected = model.student.auxiliary_head.loss(
        features, data['data_samples']['labeled'], {})
    assert losses['aux.loss_ce'].item() == pytest.approx(
        expected['loss_ce'].item(), rel=1e-4)


@pytest.mark.parametrize('norm_statistics', ['student', 'own'])
def test_teacher_of_a_training_step_ignores_dropout(
        make_model, make_batch, norm_statistics):
    model = make_model(norm_statistics=norm_statistics)
    model.teacher.module.decode_head.dropout = nn.Dropout2d(0.9)
    data = model.data_preprocessor(make_batch(), training=True)
    args = data['inputs']['unlabeled'], data['data_samples']['unlabeled']
    model.train()
    first, second = (model.pseudo_label(*args).confidence for _ in range(2))
    assert torch.equal(first, second)


def test_batch_statistics_are_an_option(make_model, make_batch):
    model = make_model(norm_statistics='own')
    data = model.data_preprocessor(make_batch(), training=True)
    args = data['inputs']['unlabeled'], data['data_samples']['unlabeled']
    norm = model.teacher.module.backbone.bn1
    before = norm.running_mean.clone()
    with_batch = model.pseudo_label(*args)
    assert not torch.equal(norm.running_mean, before)
    model.teacher.norm_statistics = 'student'
    model.train()
    with_running = model.pseudo_label(*args)
    assert not torch.allclose(with_batch.confidence, with_running.confidence)


def test_mixing_is_applied_to_the_views(make_model, make_batch):
    model = make_model(mixing='cutout')
    data = model.data_preprocessor(make_batch(), training=True)
    views = model.make_views(
        data['inputs']['unlabeled'], data['data_samples']['unlabeled'])
    assert ((views.labels == 255).float().mean((1, 2)) - 0.5).abs().max() < 0.1


def test_unknown_mixing_is_refused_when_the_model_is_built(make_model):
    with pytest.raises(ValueError, match='classmix.*cutmix.*cutout'):
        make_model(mixing='mosaic')


def test_steps_train_the_student_only(make_model, make_batch):
    model = make_model(strong_threshold=0.3)
    optim_wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1))
    student = copy.deepcopy(model.student.state_dict())
    teacher = copy.deepcopy(model.teacher.state_dict())
    model.train_step(make_batch(), optim_wrapper)
    assert all(torch.equal(p, teacher[k])
               for k, p in model.teacher.named_parameters())
    assert not any(torch.equal(p, student[k])
                   for k, p in model.student.named_parameters()
                   if k.endswith('weight'))


@pytest.mark.parametrize('predict_on', ['teacher', 'student'])
def test_the_chosen_network_predicts(make_model, make_batch, predict_on):
    model = make_model(test_cfg=dict(predict_on=predict_on)).eval()
    net = dict(student=model.student, teacher=model.teacher.module)[predict_on]
    batch = make_batch(unlabeled=False)
    images = model.data_preprocessor(copy.deepcopy(batch))['inputs']
    metas = [sample.metainfo for sample in batch['data_samples']]
    expected = net.encode_decode(images, metas)
    results = model.test_step(batch)
    for sample, logits in zip(results, expected):
        torch.testing.assert_close(sample.seg_logits.data, logits)
        assert isinstance(sample.pred_sem_seg, PixelData)
    torch.testing.assert_close(model.encode_decode(images, metas), expected)
    torch.testing.assert_close(
        model(images, mode='tensor'), net(images, mode='tensor'))
    assert model.extract_feat(images)[0].equal(net.extract_feat(images)[0])


def test_the_teacher_predicts_by_default(make_model):
    model = make_model()
    assert model.predictor is model.teacher.module


def test_test_time_augmentation(make_model, make_batch):
    model = make_model().eval()
    batch = make_batch(unlabeled=False)
    mirrored = copy.deepcopy(batch)
    mirrored['inputs'] = [image.flip(2) for image in mirrored['inputs']]
    for sample in mirrored['data_samples']:
        sample.set_metainfo(dict(flip=True, flip_direction='horizontal'))
    expected = sum(
        torch.stack([sample.seg_logits.data.softmax(0) for sample in
                     model.test_step(copy.deepcopy(data))])
        for data in (batch, mirrored)) / 2
    augmented = MODELS.build(dict(type='SegTTAModel', module=model))
    results = augmented.test_step({
        key: [batch[key], mirrored[key]] for key in batch})
    for sample, probability in zip(results, expected):
        assert torch.equal(sample.pred_sem_seg.data[0], probability.argmax(0))


@pytest.mark.parametrize('predict_on', ['teacher', 'student'])
def test_mmsegs_inference(make_model, predict_on):
    model = make_model(test_cfg=dict(predict_on=predict_on)).eval()
    model.cfg = Config(dict(test_pipeline=[
        dict(type='LoadImageFromFile'), dict(type='PackSegInputs')]))
    image = torch.randint(0, 256, (32, 48, 3)).byte()
    sample = inference_model(model, image.numpy())
    assert sample.pred_sem_seg.shape == (32, 48)
    inputs = model.data_preprocessor(
        dict(inputs=[image.permute(2, 0, 1)]))['inputs']
    expected = model.predictor.encode_decode(
        inputs, [dict(img_shape=(32, 48))])[0]
    torch.testing.assert_close(sample.seg_logits.data, expected)
    assert model.decode_head is model.predictor.decode_head


def test_mmsegs_init_model(make_model, tiny_segmentor, tmp_path):
    trained = make_model().eval()
    checkpoint = tmp_path / 'model.pth'
    meta = dict(dataset_meta=dict(classes=('a', 'b'), palette=[]))
    torch.save(dict(state_dict=trained.state_dict(), meta=meta), checkpoint)
    config = Config(dict(model=dict(
        type='MeanTeacher', segmentor=tiny_segmentor())))
    model = init_model(config, str(checkpoint), device='cpu')
    assert model.dataset_meta['classes'] == ('a', 'b')
    assert not model.training
    inputs = torch.randn(1, 3, 32, 32)
    torch.testing.assert_close(model(inputs), trained(inputs))


def test_pretrained_backbone_is_handed_on(make_model):
    assert make_model(
        pretrained='backbone.pth').student.backbone.init_cfg == dict(
            type='Pretrained', checkpoint='backbone.pth')


def test_train_cfg_is_refused(make_model):
    with pytest.raises(ValueError, match="no train_cfg.*'sampler'"):
        make_model(train_cfg=dict(sampler='ohem'))


def test_unknown_predictor(make_model):
    with pytest.raises(ValueError, match="'teacher', 'student'.*'ema'"):
        make_model(test_cfg=dict(predict_on='ema'))


@pytest.mark.parametrize('loader', ['torch', 'mmengine'])
@pytest.mark.parametrize('auxiliary', [False, True])
def test_a_plain_segmentors_checkpoint_loads_into_both(
        make_model, tiny_segmentor, tmp_path, auxiliary, loader, caplog):
    plain = MODELS.build(tiny_segmentor(auxiliary=auxiliary))
    path = tmp_path / 'plain.pth'
    torch.save(dict(state_dict=plain.state_dict()), path)
    model = make_model(auxiliary=auxiliary)
    if loader == 'torch':
        model.load_state_dict(plain.state_dict())
    else:
        load_checkpoint(model, str(path), strict=True)
    for net in (model.student, model.teacher.module):
        for key, value in plain.state_dict().items():
            assert torch.equal(net.state_dict()[key], value)


def test_a_wrong_checkpoint_is_told_by_its_keys(make_model):
    with pytest.raises(RuntimeError, match='student.backbone.conv1.weight'):
        make_model().load_state_dict(nn.Linear(2, 2).state_dict())


def test_own_checkpoint_loads(make_model):
    model, other = make_model(), make_model()
    model.teacher.steps += 7
    other.load_state_dict(model.state_dict())
    for key, value in model.state_dict().items():
        assert torch.equal(other.state_dict()[key], value)
    assert other.teacher.steps == 7


def test_loading_leaves_the_callers_state_dict_alone(
        make_model, tiny_segmentor):
    state_dict = MODELS.build(tiny_segmentor()).state_dict()
    keys = list(state_dict)
    make_model().load_state_dict(state_dict)
    assert list(state_dict) == keys


def test_a_single_output_channel_is_refused(tiny_segmentor):
    segmentor = tiny_segmentor(num_classes=2)
    segmentor.decode_head.out_channels = 1
    segmentor.decode_head.loss_decode.use_sigmoid = True
    with pytest.raises(ValueError, match='out_channels'):
        MODELS.build(dict(type='MeanTeacher', segmentor=segmentor))


def test_images_are_normalised_as_the_segmentor_says(make_model, make_batch):
    model = make_model()
    batch = make_batch(unlabeled=False)
    pixels = batch['inputs'][0].float().clone()
    image = model.data_preprocessor(batch, training=True)['inputs'][0]
    assert pixels.shape == image.shape
    expected = (pixels.flip(0) - torch.tensor(
        [123.675, 116.28, 103.53]).view(3, 1, 1)) / torch.tensor(
            [58.395, 57.12, 57.375]).view(3, 1, 1)
    torch.testing.assert_close(image, expected)
    torch.testing.assert_close(
        model.augmentation.mean.flatten(),
        model.data_preprocessor.mean.flatten())
