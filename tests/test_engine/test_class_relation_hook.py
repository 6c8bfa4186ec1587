import json
from pathlib import Path

import numpy as np
import pytest
from mmengine.runner import Runner
from PIL import Image


@pytest.fixture
def train(make_cfg, tiny_segmentor):
    """Train four iterations, validating after every second one."""

    def run() -> tuple[Runner, Path]:
        segmentor = tiny_segmentor()
        segmentor.decode_head = dict(
            type='EmbeddingHead', head=segmentor.decode_head,
            embed_channels=8, hidden_channels=8,
            loss_contrast=dict(type='RegionalContrastLoss', num_queries=8,
                               num_keys=16))
        cfg = make_cfg(segmentor, 4, semi=False,
                       train_cfg=dict(val_interval=2))
        cfg.custom_hooks.append(dict(type='ClassRelationHook'))
        runner = Runner.from_cfg(cfg)
        runner.train()
        return runner, Path(runner.log_dir) / 'vis_data'

    return run


def test_picture_and_numbers_after_every_validation(train):
    runner, logged = train()
    pictures = sorted((logged / 'vis_image').glob('class_relation_*.png'))
    assert [path.stem for path in pictures] == [
        'class_relation_2', 'class_relation_4']
    first, second = (np.asarray(Image.open(path)) for path in pictures)
    assert first.std() > 10  # not blank
    assert not np.array_equal(first, second)

    lines = map(json.loads, (logged / 'scalars.json').read_text().splitlines())
    found = [line for line in lines if 'class_similarity/features' in line]
    assert [line['step'] for line in found] == [2, 4]
    for line in found:
        assert -1 <= line['class_similarity/embedding'] <= 1
    assert runner.iter == 4
