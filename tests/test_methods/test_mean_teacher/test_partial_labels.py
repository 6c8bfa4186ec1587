import re

import pytest
import torch
from mmengine.config import Config
from mmseg.registry import MODELS

from mmseg_ssl.engine.environment import apply_cfg_options


def make_batch_of_points(make_batch, keep=0.2, num=2):
    """Both branches with label maps of which a share is kept."""
    batch = make_batch(num, 3)
    other = make_batch(num, 3, unlabeled=False)
    batch['unlabeled'] = other
    for branch in batch.values():
        for sample in branch['data_samples']:
            labels = sample.gt_sem_seg.data
            labels[torch.rand(labels.shape) > keep] = 255
    return batch


@pytest.fixture
def model(tiny_segmentor):
    return MODELS.build(dict(
        type='PartialLabelMeanTeacher', segmentor=tiny_segmentor(),
        mixing='classmix', strong_threshold=0.4))


def test_given_labels_override_the_teacher(model, make_batch):
    batch = make_batch_of_points(make_batch)
    data = model.data_preprocessor(batch, training=True)
    samples = data['data_samples']['unlabeled']
    samples[1].set_metainfo(dict(padding_size=(0, 4, 0, 0)))
    samples[1].gt_sem_seg.data[..., -4:] = 255
    labeled = model.pseudo_label(data['inputs']['unlabeled'], samples)

    given = torch.cat([s.gt_sem_seg.data for s in samples])
    known = given != 255
    assert 0.1 < known.float().mean() < 0.3
    assert torch.equal(labeled.labels[known], given[known])
    assert (labeled.confidence[known] == 1).all()
    # the rest is as the teacher says
    for sample in samples:
        sample.gt_sem_seg.data.fill_(255)
    teacher = model.pseudo_label(data['inputs']['unlabeled'], samples)
    assert (teacher.labels[~known] == labeled.labels[~known]).all()
    assert (teacher.confidence[~known] == labeled.confidence[~known]).all()
    assert (labeled.confidence[~known] < 1).all()
    assert (labeled.labels[1, :, -4:] == 255).all()
    assert (labeled.labels[1, :, :-4] != 255).all()


def test_losses_fall(model, make_batch, train):
    history = train(model, [make_batch_of_points(make_batch, num=4)], 15)
    for key in ('loss_ce', 'loss_unsup'):
        assert torch.tensor(history[key]).isfinite().all()
    assert sum(history['loss_ce'][-4:]) / 4 < 0.9 * history['loss_ce'][0]
    # the given labels count as confident, from the first step on
    assert history['confident_share'][0] > 0.1


def test_dataset_without_label_maps(model, make_batch):
    data = model.data_preprocessor(make_batch(2, 3), training=True)
    with pytest.raises(ValueError, match=(
            'image drawn.png of the unlabelled branch has no label map.*'
            'needs one for every image')):
        model(**data, mode='loss')


def test_folder_from_the_command_line(shrunken_config, project_root):
    """One option reaches both branches and leaves validation alone."""
    name = 'mean-teacher-classmix_*_camvid-120x160-partial.py'
    path, = (project_root / 'configs/mean_teacher').glob(name)
    cfg = shrunken_config(path)
    apply_cfg_options(cfg, dict(partial_labels='/there/train-p5pct-seed1'))
    train = cfg.train_dataloader.dataset
    for dataset in (train.labeled, train.unlabeled, cfg.labeled_dataset):
        assert dataset.data_prefix.seg_map_path == '/there/train-p5pct-seed1'
    assert cfg.partial_labels == '/there/train-p5pct-seed1'
    assert cfg.val_dataloader.dataset.data_prefix.seg_map_path == 'ann_dir/val'


def test_folder_for_a_config_without(shrunken_config, project_root):
    name = 'mean-teacher-classmix_*_camvid-120x160-20l.py'
    path, = (project_root / 'configs/mean_teacher').glob(name)
    with pytest.raises(ValueError, match=(
            'no top-level "partial_labels" to override')):
        apply_cfg_options(shrunken_config(path), dict(partial_labels='x'))


def label_folders(node):
    """All folders of label maps that a part of a config names."""
    if isinstance(node, dict):
        if 'seg_map_path' in node:
            yield node['seg_map_path']
        for child in node.values():
            yield from label_folders(child)


def test_configs_of_one_amount_and_seed(project_root):
    """Their names say which labels they load, everywhere."""
    paths = sorted(project_root.glob('configs/*/*-1k_*-p[125]*.py'))
    assert len(paths) == 24
    for path in paths:
        amount, seed = re.search(
            r'-(p1|p1pct|p5pct|p25pct)(?:-s(\d))?$', path.stem).groups('0')
        cfg = Config.fromfile(path)
        expected = f'partial_labels/train-{amount}-seed{seed}'
        found = [*label_folders(cfg.train_dataloader),
                 *label_folders(cfg.labeled_dataset),
                 *label_folders(cfg.unlabeled_dataset)]
        assert set(found) == {expected} == {cfg.partial_labels}, path.stem
        teacher = cfg.model.type != 'EncoderDecoder'
        assert len(found) == (4 if teacher else 3), path.stem
        assert cfg.randomness.seed == int(seed)
        assert set(label_folders(cfg.val_dataloader)) == {'ann_dir/val'}
