from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.runner import Runner
from PIL import Image

from mmseg_ssl.engine.hooks.pseudo_label_hook import PseudoLabelHook


@pytest.fixture
def run(make_cfg, tiny_segmentor):
    """Train a mean teacher or a plain segmentor for four iterations."""

    def train(*hooks: PseudoLabelHook, semi: bool = True) -> Runner:
        torch.manual_seed(0)
        model = tiny_segmentor('fcn_r18-d16')
        if semi:
            model = dict(
                type='MeanTeacher', segmentor=model, mixing='classmix',
                strong_threshold=0.5, norm_statistics='own')
        runner = Runner.from_cfg(make_cfg(model, 4, semi=semi))
        for hook in hooks:
            runner.register_hook(hook)
        runner.train()
        return runner

    return train


def test_pictures_and_an_undisturbed_training(run):
    watched = run(PseudoLabelHook(interval=2, num_images=1))
    pictures = sorted(
        Path(watched.log_dir).glob('vis_data/vis_image/pseudo_labels*'))
    assert [path.name for path in pictures] == [
        'pseudo_labels.png_2.png', 'pseudo_labels.png_4.png']
    first, second = (np.asarray(Image.open(path)) for path in pictures)
    assert first.std() > 10 and not np.array_equal(first, second)

    alone = run()
    for name, value in alone.model.state_dict().items():
        assert torch.equal(watched.model.state_dict()[name], value), name


def test_model_without_a_teacher(run):
    with pytest.raises(TypeError, match='EncoderDecoder has none; remove it'):
        run(PseudoLabelHook(), semi=False)
