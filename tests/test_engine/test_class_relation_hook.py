import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mmengine.runner import Runner
from PIL import Image


@pytest.fixture
def train(make_cfg, tiny_segmentor):
    """Train four iterations, validating after every second one."""

    def run(**kwargs: Any) -> tuple[Runner, Path]:
        segmentor = tiny_segmentor()
        segmentor.decode_head = dict(
            type='EmbeddingHead', head=segmentor.decode_head,
            embed_channels=8, hidden_channels=8,
            loss_contrast=dict(type='RegionalContrastLoss', num_queries=8,
                               num_keys=16))
        cfg = make_cfg(segmentor, 4, semi=False,
                       train_cfg=dict(val_interval=2))
        cfg.custom_hooks.append(dict(type='ClassRelationHook'))
        cfg.merge_from_dict(kwargs)
        runner = Runner.from_cfg(cfg)
        runner.train()
        return runner, Path(runner.log_dir) / 'vis_data'

    return run


def test_picture_and_numbers_after_every_validation(train):
    runner, logged = train()
    pictures = sorted((logged / 'vis_image').glob('class_relation*'))
    assert [path.name for path in pictures] == [
        'class_relation.png_2.png', 'class_relation.png_4.png']
    first, second = (np.asarray(Image.open(path)) for path in pictures)
    assert first.std() > 10  # not blank
    assert not np.array_equal(first, second)

    lines = map(json.loads, (logged / 'scalars.json').read_text().splitlines())
    found = [line for line in lines if 'class_similarity/features' in line]
    assert [line['step'] for line in found] == [2, 4]
    for line in found:
        assert -1 <= line['class_similarity/embedding'] <= 1
    assert runner.iter == 4


def test_tensorboard_gets_them_too(train):
    pytest.importorskip('tensorboard')
    from tensorboard.backend.event_processing.event_accumulator import (
        EventAccumulator,
    )
    runner, logged = train(visualizer=dict(
        vis_backends=[dict(type='TensorboardVisBackend')]))
    runner.visualizer.close()
    file, = logged.rglob('events.out.tfevents.*')
    events = EventAccumulator(str(file)).Reload()
    pictures = events.Images('class_relation.png')
    assert [picture.step for picture in pictures] == [2, 4]
    assert min(pictures[0].width, pictures[0].height) > 100
    numbers = events.Scalars('class_similarity/features')
    assert [number.step for number in numbers] == [2, 4]


def test_nothing_to_relate_does_not_end_the_training(train, caplog):
    """Weights that have diverged, as in a training at too high a rate."""
    runner, logged = train(**{
        'optim_wrapper.optimizer.lr': 1e30, 'optim_wrapper.clip_grad': None})
    assert runner.iter == 4
    assert not [*logged.rglob('class_relation*')]
    log, = logged.parent.glob('*.log')
    assert 'no class relations: ' in log.read_text()
