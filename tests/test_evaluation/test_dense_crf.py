"""A dense CRF follows edges of colour, around any segmentor."""
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from PIL import Image

from mmseg_ssl.evaluation import DenseCRF, DenseCRFSegmentor

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def library():
    pytest.importorskip(
        'pydensecrf', reason='pip install pydensecrf2, which needs a C++ '
        'compiler')


@pytest.fixture
def scene() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A red and a blue half, and probabilities with errors and a wrong edge.

    Returns:
        tuple: Image (40, 60, 3), truth (40, 60) and probabilities of three
        classes, of which the last is nowhere.
    """
    truth = np.zeros((40, 60), int)
    truth[:, 31:] = 1
    image = np.array([[200, 30, 30], [30, 30, 200]], np.uint8)[truth]
    seen = np.zeros_like(truth)
    seen[:, 25:] = 1
    rng = np.random.default_rng(0)
    wrong = rng.random(seen.shape) < 0.1
    seen[wrong] = 1 - seen[wrong]
    probabilities = 0.2 + 0.5 * np.eye(3)[seen].transpose(2, 0, 1)
    return image, truth, probabilities / probabilities.sum(0)


def test_labels_follow_colours(library, scene):
    image, truth, probabilities = scene
    assert (probabilities.argmax(0) == truth).mean() < 0.85
    refined = DenseCRF()(image, probabilities)
    assert refined.shape == (3, 40, 60) and refined.dtype == np.float32
    np.testing.assert_allclose(refined.sum(0), 1, atol=1e-4)
    assert (refined.argmax(0) == truth).mean() > 0.99


def test_weights_of_zero_change_nothing(library, scene):
    image, _, probabilities = scene
    refined = DenseCRF(near_weight=0, colour_weight=0)(image, probabilities)
    np.testing.assert_allclose(refined, probabilities, atol=1e-4)


def test_an_image_of_one_colour_has_no_edges(library, scene):
    image, _, probabilities = scene
    plain = np.full_like(image, 90)
    refined = DenseCRF(near_weight=0)(plain, probabilities)
    edge = np.abs(refined[0, :, 30] - refined[0, :, 31]).mean()
    sharp = DenseCRF(near_weight=0)(image, probabilities)
    assert edge < 0.1 < np.abs(sharp[0, :, 30] - sharp[0, :, 31]).mean()


def test_wrong_shapes(library, scene):
    image, _, probabilities = scene
    with pytest.raises(ValueError, match=r'\(3, 40, 60\) and \(40, 59, 3\)'):
        DenseCRF()(image[:, 1:], probabilities)
    with pytest.raises(ValueError, match='two classes or more'):
        DenseCRF()(image, probabilities[:1])


def test_without_the_library(monkeypatch):
    monkeypatch.setitem(sys.modules, 'pydensecrf', None)
    monkeypatch.setitem(sys.modules, 'pydensecrf.densecrf', None)
    with pytest.raises(ImportError, match=(
            r'needs the package pydensecrf2, .* pip install pydensecrf2 .* '
            r'C\+\+ compiler')):
        DenseCRF()


class Fixed(torch.nn.Module):
    """A segmentor that knows what it predicts."""

    def __init__(self, logits: torch.Tensor, path: str) -> None:
        super().__init__()
        self.logits, self.path = logits, path

    def test_step(self, data: dict) -> list[SegDataSample]:
        sample = SegDataSample(metainfo=dict(img_path=self.path))
        sample.seg_logits = PixelData(data=self.logits)
        return [sample]


def test_segmentor_refines_its_predictions(library, scene, tmp_path):
    image, truth, probabilities = scene
    path = str(tmp_path / 'image.png')
    Image.fromarray(image).save(path)
    logits = torch.from_numpy(probabilities).log() * 0.1  # as of cosines
    share = {}
    for temperature in (0.1, 1.0):
        model = DenseCRFSegmentor(Fixed(logits, path), temperature)
        sample, = model.test_step({})
        assert sample.pred_sem_seg.data.shape == (1, 40, 60)
        assert torch.equal(sample.seg_logits.data.argmax(0, keepdim=True),
                           sample.pred_sem_seg.data)
        share[temperature] = (
            sample.pred_sem_seg.data[0].numpy() == truth).mean()
    assert share[0.1] > 0.99 and share[1.0] > 0.9
    with pytest.raises(ValueError, match='temperature must be > 0, not 0'):
        DenseCRFSegmentor(Fixed(logits, path), 0)


def test_on_and_off_in_the_command(library, make_cfg, tiny_segmentor,
                                   tmp_path, monkeypatch, capsys):
    """``tools/test.py`` with the checkpoint of the plain segmentor."""
    cfg = make_cfg(tiny_segmentor(), semi=False)
    model = MODELS.build(cfg.model)
    checkpoint = tmp_path / 'model.pth'
    torch.save(dict(state_dict=model.state_dict()), checkpoint)
    cfg.merge_from_dict(dict(
        test_dataloader=cfg.val_dataloader, test_evaluator=cfg.val_evaluator,
        test_cfg=dict(type='TestLoop'),
        crf_model=dict(type='DenseCRFSegmentor', iterations=2)))
    path = tmp_path / 'config.py'
    cfg.dump(path)
    built = []
    monkeypatch.setattr(
        Runner, 'test', lambda self: built.append(self.model))

    def call(*options: str) -> torch.nn.Module:
        monkeypatch.setattr(sys, 'argv', [
            'test.py', str(path), str(checkpoint), '--work-dir',
            str(tmp_path / 'work'), *options])
        runpy.run_path(str(ROOT / 'tools/test.py'), run_name='__main__')
        return built.pop()

    assert type(call()) is type(model)
    wrapped = call('--crf')
    assert isinstance(wrapped, DenseCRFSegmentor)
    assert wrapped.crf.iterations == 2
    with pytest.raises(SystemExit, match='--crf: choose one of them'):
        call('--crf', '--tta')


def test_evaluation_with_a_plain_checkpoint(library, make_cfg,
                                            tiny_segmentor, tmp_path):
    cfg = make_cfg(tiny_segmentor(), semi=False)
    model = MODELS.build(cfg.model)
    checkpoint = str(tmp_path / 'model.pth')
    torch.save(dict(state_dict=model.state_dict()), checkpoint)
    cfg.merge_from_dict(dict(
        test_dataloader=cfg.val_dataloader, test_evaluator=cfg.val_evaluator,
        test_cfg=dict(type='TestLoop'), load_from=checkpoint,
        train_dataloader=None, train_cfg=None, optim_wrapper=None))
    cfg = Config({**cfg.to_dict(), 'model': dict(
        type='DenseCRFSegmentor', iterations=2, module=cfg.model.to_dict())},
        format_python_code=False)
    runner = Runner.from_cfg(cfg)
    assert 0 <= runner.test()['mIoU'] <= 100
    for name, value in runner.model.module.state_dict().items():
        assert torch.equal(value, model.state_dict()[name])
