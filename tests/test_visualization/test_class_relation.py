import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmseg.registry import MODELS

from mmseg_ssl.visualization.class_relation import (
    DPI,
    EMBEDDING,
    FEATURES,
    ClassMeans,
    ClassRelation,
    embed,
    plot_relations,
    relate_classes,
    save_figure,
    write_json,
)

NAMES = ('cat', 'dog', 'car', 'sky')


def relation_of(graph, names=NAMES):
    return ClassRelation(list(names), [], [1] * len(names),
                         np.array(graph, float))


@pytest.fixture
def pets():
    """Cat and dog look alike; sky is the opposite of car."""
    return relation_of([[1, .9, .1, 0], [.9, 1, .2, 0], [.1, .2, 1, -1],
                        [0, 0, -1, 1]])


def test_means_against_a_loop():
    means = ClassMeans(4)
    sums, counts = torch.zeros(4, 6, dtype=torch.double), torch.zeros(4)
    for seed in range(3):
        torch.manual_seed(seed)
        embedding = torch.randn(2, 6, 3, 4)
        # three label pixels a side; the middle one counts
        labels = torch.randint(0, 3, (2, 9, 12))
        labels[0, :4] = 255
        means.add(embedding, labels)
        for b in range(2):
            for y in range(3):
                for x in range(4):
                    label = labels[b, 3 * y + 1, 3 * x + 1]
                    if label != 255:
                        sums[label] += embedding[b, :, y, x]
                        counts[label] += 1
    assert torch.equal(means.counts, counts.long())
    result = means.means()
    np.testing.assert_allclose(result[:3], (sums / counts[:, None])[:3])
    assert np.isnan(result[3]).all()


def test_means_of_large_numbers_are_exact():
    """A million pixels that float32 would add up wrongly."""
    means = ClassMeans(1)
    embedding = torch.full((1, 1, 1000, 1000), 1000.1)
    labels = torch.zeros(1, 1000, 1000, dtype=torch.long)
    means.add(embedding, labels)
    assert means.means().item() == pytest.approx(
        embedding[0, 0, 0, 0].item(), rel=1e-12)


def test_label_outside_the_classes():
    with pytest.raises(ValueError, match='hold 4, but there are 4 classes'):
        ClassMeans(4).add(torch.zeros(1, 2, 2, 2),
                          torch.full((1, 4, 4), 4))


def test_graph_is_the_cosine_and_leaves_out_absent_classes():
    means = ClassMeans(4)
    vectors = torch.tensor([[3., 0.], [0, 0], [2., 2.], [-1., 0.]])
    for label in (0, 2, 3):
        means.add(vectors[label].view(1, 2, 1, 1),
                  torch.full((1, 1, 1), label))
    relation = ClassRelation.from_means(means, NAMES)
    assert relation.classes == ['cat', 'car', 'sky']
    assert relation.absent == ['dog']
    assert relation.pixels == [1, 1, 1]
    half = 2**-0.5
    np.testing.assert_allclose(
        relation.graph, [[1, half, -1], [half, 1, -half], [-1, -half, 1]],
        atol=1e-12)


@pytest.mark.parametrize('labels', [[255], [2, 2]])
def test_fewer_than_two_classes(labels):
    means = ClassMeans(4)
    for label in labels:
        means.add(torch.ones(1, 2, 1, 1), torch.full((1, 1, 1), label))
    with pytest.raises(ValueError, match=(
            f'only {len(set(labels) - {255})} of 4 classes')):
        ClassRelation.from_means(means, NAMES)


def test_pairs_come_most_alike_first(pets):
    pairs = pets.closest_pairs(3)
    assert pairs == [('cat', 'dog', 0.9), ('dog', 'car', 0.2),
                     ('cat', 'car', 0.1)]
    assert len(pets.closest_pairs(100)) == 6
    assert pets.mean_similarity() == pytest.approx((.9 + .1 + .2 - 1) / 6)


def test_tree_joins_the_closest_first(pets):
    tree = pets.tree()
    assert tree.shape == (3, 4)
    assert set(tree[0, :2]) == {0, 1}
    assert tree[0, 2] == pytest.approx(0.1)  # cosine distance
    # then the car joins, at the mean of its distances to both
    assert set(tree[1, :2]) == {2, 4}
    assert tree[1, 2] == pytest.approx((0.9 + 0.8) / 2)


def test_identical_classes_do_not_break_the_tree():
    """1 - cosine may be slightly negative or off the diagonal by rounding."""
    graph = np.ones((3, 3)) - 1e-16
    assert relation_of(graph, NAMES[:3]).tree()[:, 2].max() < 1e-9


def test_json_holds_the_numbers(pets, tmp_path):
    write_json({'a': {FEATURES: pets}}, tmp_path / 'new/x.json', 2)
    found = json.loads((tmp_path / 'new/x.json').read_text())['a'][FEATURES]
    assert found['classes'] == list(NAMES)
    np.testing.assert_array_equal(found['graph'], pets.graph)
    np.testing.assert_array_equal(found['linkage'], pets.tree())
    assert found['closest_pairs'] == [
        dict(classes=['cat', 'dog'], similarity=0.9),
        dict(classes=['dog', 'car'], similarity=0.2)]


def test_picture_names_the_classes_and_paints_the_graph(pets, tmp_path):
    other = relation_of(np.eye(4))
    figure = plot_relations(
        {'first': {FEATURES: pets}, 'second': {FEATURES: other,
                                               EMBEDDING: pets}})
    heats = [axes for axes in figure.axes if axes.images]
    maps = [axes for axes in heats if axes.get_title()]
    assert [axes.get_title().split(' (')[0] for axes in maps] == [
        'first: features', 'second: features', 'second: embedding']
    for axes, relation in zip(maps, (pets, other, pets)):
        np.testing.assert_array_equal(
            axes.images[0].get_array(), relation.graph)
        assert axes.images[0].get_clim() == (-1, 1)
        for labels in (axes.get_xticklabels(), axes.get_yticklabels()):
            assert [label.get_text() for label in labels] == list(NAMES)
    trees = [axes for axes in figure.axes
             if axes.get_xlabel() == 'cosine distance']
    assert len(trees) == 3
    for axes in trees:
        assert {label.get_text() for label in axes.get_yticklabels()} == set(
            NAMES)
    save_figure(figure, tmp_path / 'new/x.png')
    assert (tmp_path / 'new/x.png').stat().st_size > 10_000
    assert figure.get_size_inches()[0] * DPI < 5000


@pytest.mark.parametrize('base', [
    'deeplabv3plus_r18-d16', 'fcn_r18-d16', 'segformer_mit-b0'])
def test_features_are_what_the_classifier_gets(tiny_segmentor, base):
    model = MODELS.build(tiny_segmentor(base)).eval()
    images = torch.randn(1, 3, 32, 32)
    features = embed(model, images)
    assert set(features) == {FEATURES}
    logits = model.decode_head.conv_seg(features[FEATURES])
    torch.testing.assert_close(
        logits, model.decode_head(model.extract_feat(images)))


def test_embedding_is_what_the_contrast_gets(tiny_segmentor):
    segmentor = tiny_segmentor()
    segmentor.decode_head = dict(
        type='EmbeddingHead', head=segmentor.decode_head, embed_channels=8,
        hidden_channels=8)
    model = MODELS.build(dict(type='MeanTeacher', segmentor=segmentor)).eval()
    images = torch.randn(1, 3, 32, 32)
    found = embed(model, images)
    teacher = model.teacher.module
    expected = teacher.decode_head(teacher.extract_feat(images))[1]
    torch.testing.assert_close(found[EMBEDDING], expected)
    assert not any(module._forward_hooks or module._forward_pre_hooks
                   for module in teacher.modules())


def test_head_without_classifier(tiny_segmentor):
    model = MODELS.build(tiny_segmentor())
    del model.decode_head.conv_seg
    with pytest.raises(ValueError, match='does not classify with conv_seg'):
        embed(model, torch.randn(1, 3, 32, 32))


def test_over_batches(tiny_segmentor, make_batch):
    """In evaluation mode, and the same for any way to batch the images."""
    model = MODELS.build(tiny_segmentor()).train()
    batch = make_batch(4, 3, unlabeled=False)
    halves = [{key: value[i:i + 2] for key, value in batch.items()}
              for i in (0, 2)]
    whole, parts = (relate_classes(model, copy.deepcopy(batches), 'abc')
                    for batches in ([batch], halves))
    assert whole[FEATURES].classes == ['a', 'b', 'c']
    np.testing.assert_allclose(
        whole[FEATURES].graph, parts[FEATURES].graph, atol=1e-5)
    assert not model.training


def _relate_share(rank: int, root: Path) -> None:
    """What one of two processes gets of three images, as they are dealt."""
    torch.distributed.init_process_group(
        'gloo', init_method=f'file://{root}/store', rank=rank, world_size=2)
    data = torch.load(root / 'data.pth', weights_only=False)
    # DefaultSampler repeats the first image, so that both have two.
    share = [data['batches'][i] for i in ((0, 2), (1, 0))[rank]]
    found = relate_classes(data['model'], share, 'abc', num_images=3)
    np.save(root / f'graph{rank}.npy', found[FEATURES].graph)
    torch.distributed.destroy_process_group()


def test_two_processes_are_one(tiny_segmentor, make_batch, tmp_path):
    model = MODELS.build(tiny_segmentor())
    batch = make_batch(3, 3, unlabeled=False)
    batches = [{key: value[i:i + 1] for key, value in batch.items()}
               for i in range(3)]
    torch.save(dict(model=model, batches=batches), tmp_path / 'data.pth')
    one = relate_classes(model, copy.deepcopy(batches), 'abc')[FEATURES]
    twice = relate_classes(model, copy.deepcopy([*batches, batches[0]]),
                           'abc')[FEATURES]
    assert abs(twice.graph - one.graph).max() > 1e-4  # repeats would show
    torch.multiprocessing.start_processes(
        _relate_share, (tmp_path, ), nprocs=2, start_method='fork')
    for rank in range(2):
        np.testing.assert_allclose(
            np.load(tmp_path / f'graph{rank}.npy'), one.graph, atol=1e-6)


def test_images_without_label_maps(tiny_segmentor, make_batch):
    model = MODELS.build(tiny_segmentor())
    with pytest.raises(ValueError, match='drawn.png has no label map'):
        relate_classes(model, [make_batch(2, 3)['unlabeled']], 'abc')


def test_no_batch(tiny_segmentor):
    with pytest.raises(ValueError, match='gave no batch'):
        relate_classes(MODELS.build(tiny_segmentor()), [], 'abc')
