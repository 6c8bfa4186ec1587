"""Segmentors that predict together."""
import copy
import runpy
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmseg.registry import MODELS


@pytest.fixture
def save_member(tiny_segmentor, tmp_path):
    """Write a segmentor with random weights; returns config and path."""

    def save(name, base='fcn_r18-d16', num_classes=3, classes=None, **options):
        cfg = tiny_segmentor(base, num_classes)
        cfg.data_preprocessor.update(options)
        model = MODELS.build(copy.deepcopy(cfg))
        torch.nn.init.normal_(model.decode_head.conv_seg.weight, std=0.5)
        path = tmp_path / f'{name}.pth'
        meta = dict(dataset_meta=dict(classes=classes)) if classes else {}
        torch.save(dict(state_dict=model.state_dict(), meta=meta), path)
        return dict(model=cfg, checkpoint=str(path)), model.eval()

    return save


def test_averages_probabilities(save_member, make_batch):
    """Of members with other heads and other normalisation."""
    first, one = save_member('one')
    second, two = save_member('two', 'pspnet_r18-d16', mean=[90., 95., 99.])
    ensemble = MODELS.build(dict(
        type='SegmentorEnsemble', members=[first, second])).eval()
    batch = make_batch(2, 3, unlabeled=False)
    samples = ensemble.test_step(copy.deepcopy(batch))
    parts = [model.test_step(copy.deepcopy(batch)) for model in (one, two)]
    for sample, a, b in zip(samples, *parts):
        expected = (a.seg_logits.data.softmax(0)
                    + b.seg_logits.data.softmax(0)) / 2
        torch.testing.assert_close(sample.seg_logits.data, expected)
        assert torch.equal(
            sample.pred_sem_seg.data[0], expected.argmax(dim=0))
        assert torch.equal(sample.gt_sem_seg.data, a.gt_sem_seg.data)
    with pytest.raises(NotImplementedError, match='only evaluates'):
        ensemble(torch.zeros(1, 3, 32, 32))


def test_other_classes(save_member):
    three, _ = save_member('three', classes=('a', 'b', 'c'))
    four, _ = save_member('four', num_classes=4)
    other, _ = save_member('other', classes=('a', 'b', 'd'))
    with pytest.raises(ValueError, match='predicts 3, but .*four.pth .* 4'):
        MODELS.build(dict(type='SegmentorEnsemble', members=[three, four]))
    with pytest.raises(ValueError, match=r"other.pth on \('a', 'b', 'd'\)"):
        MODELS.build(dict(type='SegmentorEnsemble', members=[three, other]))


def test_checkpoint_that_does_not_fit(save_member):
    fcn, _ = save_member('fcn')
    psp, _ = save_member('psp', 'pspnet_r18-d16')
    fcn['checkpoint'] = psp['checkpoint']
    with pytest.raises(ValueError, match='psp.pth do not fit'):
        MODELS.build(dict(type='SegmentorEnsemble', members=[fcn]))


def test_through_the_tool(save_member, make_cfg, tmp_path, monkeypatch,
                          project_root):
    """tools/test.py --ensemble CONFIG CHECKPOINT."""
    paths = []
    for name in ('one', 'two'):
        member, _ = save_member(name)
        cfg = make_cfg(member['model'], semi=False)
        cfg.update(test_dataloader=cfg.val_dataloader, test_cfg=dict(
            type='TestLoop'), test_evaluator=cfg.val_evaluator)
        path = tmp_path / f'{name}.py'
        cfg.dump(path)
        assert Config.fromfile(path).model.type == 'EncoderDecoder'
        paths += [str(path), member['checkpoint']]
    monkeypatch.setattr(sys, 'argv', [
        'test.py', *paths[:2], '--ensemble', *paths[2:], '--work-dir',
        str(tmp_path / 'out'), '--out', str(tmp_path / 'maps')])
    runpy.run_path(str(project_root / 'tools/test.py'))['main']()
    assert len(list((tmp_path / 'maps').glob('*.png'))) == 3
    Path(paths[3]).write_text('no weights')
    with pytest.raises(SystemExit, match=(
            r'^test\.py: .*member of the ensemble: .*two\.pth is no check')):
        runpy.run_path(str(project_root / 'tools/test.py'))['main']()
