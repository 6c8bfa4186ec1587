import pytest
import torch
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample


@pytest.fixture
def model(tiny_segmentor):
    segmentor = tiny_segmentor()
    segmentor.decode_head = dict(
        type='EmbeddingHead', head=segmentor.decode_head, embed_channels=8,
        hidden_channels=8)
    return MODELS.build(dict(
        type='PartialLabelReCo', segmentor=segmentor, strong_threshold=0.4,
        loss_contrast=dict(type='RegionalContrastLoss', num_queries=8,
                           num_keys=16)))


def sample_of(labels, **metainfo):
    sample = SegDataSample(metainfo=metainfo)
    sample.gt_sem_seg = PixelData(data=torch.tensor(labels)[None])
    return sample


def test_given_labels_then_what_the_student_is_sure_of(model):
    prob = torch.tensor([[0.98, 0.01, 0.01], [0.01, 0.98, 0.01],
                         [0.02, 0.02, 0.96], [0.005, 0.005, 0.99]])
    logits = prob.log().t().reshape(1, 3, 2, 2)
    truth = [sample_of([[2, 255], [255, 255]])]
    completed = model.complete(logits, truth)
    # given; sure; not sure enough; sure
    assert completed.tolist() == [[[2, 1], [255, 2]]]
    assert truth[0].gt_sem_seg.data.tolist() == [[[2, 255], [255, 255]]]
    model.student_threshold = 0.95
    assert model.complete(logits, truth).tolist() == [[[2, 1], [2, 2]]]
    padded = [sample_of([[2, 255], [255, 255]], padding_size=(0, 1, 0, 0))]
    assert model.complete(logits, padded).tolist() == [[[2, 255], [2, 255]]]


def batch_of_points(make_batch, num=4):
    batch = make_batch(num, 3)
    batch['unlabeled'] = make_batch(num, 3, unlabeled=False)
    for branch in batch.values():
        for sample in branch['data_samples']:
            labels = sample.gt_sem_seg.data
            labels[torch.rand(labels.shape) > 0.3] = 255
    return batch


def test_contrast_sees_completed_labels_cross_entropy_the_given(
        model, make_batch):
    seen = []
    model.loss_contrast.forward = lambda embedding, label, prob: (
        seen.append(label), embedding.sum())[1]
    batch = batch_of_points(make_batch)
    model.train()
    share = []
    for threshold in (0.0, 1.1):
        model.student_threshold = threshold
        torch.manual_seed(0)
        data = model.data_preprocessor(batch, training=True)
        losses = model(**data, mode='loss')
        share.append((seen[-1][:4] != 255).float().mean().item())
    assert share[0] == 1 and 0.15 < share[1] < 0.45
    assert losses['loss_ce'].isfinite()


def test_losses_fall(model, make_batch, train):
    history = train(model, [batch_of_points(make_batch)], 15)
    assert all(torch.tensor(values).isfinite().all()
               for values in history.values())
    assert sum(history['loss_ce'][-4:]) / 4 < 0.9 * history['loss_ce'][0]
    assert all(value > 0 for value in history['loss_reco'])


def test_dataset_without_label_maps(model, make_batch):
    data = model.data_preprocessor(make_batch(2, 3), training=True)
    with pytest.raises(ValueError, match='has no label map'):
        model(**data, mode='loss')
