"""The config of docs/tracking.md: what experiment trackers get to see."""
import importlib.util
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.runner import Runner

PAGE = 'docs/tracking.md'


@pytest.fixture
def my_reco(project_root, shrunken_config, tmp_path) -> Callable[..., Config]:
    """Make the config of the page, small, with one tracker of its three."""
    find_blocks = runpy.run_path(
        str(project_root / 'tools/run_doc_commands.py'))['find_blocks']
    text, = (block.text for block
             in find_blocks(PAGE, (project_root / PAGE).read_text())
             if block.language == 'python')

    def make(backend: str) -> Config:
        path = tmp_path / 'my_reco.py'
        path.write_text(text.replace(
            "_base_ = 'configs", f"_base_ = '{project_root}/configs"))
        cfg = shrunken_config(path)
        cfg.visualizer.vis_backends = [
            entry for entry in cfg.visualizer.vis_backends
            if entry.type in ('LocalVisBackend', backend)]
        assert len(cfg.visualizer.vis_backends) == 2
        cfg.train_cfg.update(max_iters=2, val_interval=2)
        cfg.default_hooks.logger.interval = 1
        cfg.default_hooks.visualization.interval = 1
        hook, = (hook for hook in cfg.custom_hooks
                 if hook.type == 'PseudoLabelHook')
        hook.interval = 2
        return cfg

    return make


def test_tensorboard_gets_scalars_and_pictures(my_reco):
    pytest.importorskip('tensorboard')
    from tensorboard.backend.event_processing.event_accumulator import (
        EventAccumulator,
    )
    runner = Runner.from_cfg(my_reco('TensorboardVisBackend'))
    runner.train()
    runner.visualizer.close()
    file, = Path(runner.log_dir).rglob('events.out.tfevents.*')
    events = EventAccumulator(str(file)).Reload()
    scalars, images = (events.Tags()[kind] for kind in ('scalars', 'images'))
    assert {'loss', 'loss_reco', 'confident_share', 'lr'} <= {*scalars}
    assert [event.step for event in events.Scalars('loss')] == [1, 2]
    assert any('mIoU' in name for name in scalars)
    picture, = events.Images('pseudo_labels.png')
    assert picture.step == 2 and min(picture.width, picture.height) > 100
    assert any(name.startswith('val_') for name in images)


@pytest.mark.parametrize('module, backend', [
    ('wandb', 'WandbVisBackend'), ('mlflow', 'MLflowVisBackend')])
def test_other_trackers_take_the_config(my_reco, module, backend, tmp_path,
                                        monkeypatch):
    if importlib.util.find_spec(module) is None:
        pytest.skip(f'{module} is not installed')
    monkeypatch.setenv('WANDB_MODE', 'offline')
    monkeypatch.chdir(tmp_path)  # where they write what they keep
    runner = Runner.from_cfg(my_reco(backend))
    runner.visualizer.close()


def test_wandb_gets_scalars_and_pictures(my_reco, monkeypatch):
    wandb = Mock(spec=['init', 'config', 'run', 'Image', 'log', 'join'])
    monkeypatch.setitem(sys.modules, 'wandb', wandb)
    Runner.from_cfg(my_reco('WandbVisBackend')).train()
    assert wandb.init.call_args.kwargs['project'] == 'mmseg_ssl'
    logged = [call.args[0] for call in wandb.log.call_args_list]
    assert len([row for row in logged if 'loss' in row]) == 2
    assert any('mIoU' in name for row in logged for name in row)
    pictures = [row['pseudo_labels.png'] for row in logged
                if 'pseudo_labels.png' in row]
    assert pictures == [wandb.Image.return_value]
    assert all(call.args[0].dtype == np.uint8
               for call in wandb.Image.call_args_list)
    wandb.join.assert_called_once_with()


def test_mlflow_gets_scalars_and_pictures(my_reco, monkeypatch):
    mlflow = Mock(
        spec=['set_tracking_uri', 'get_experiment_by_name', 'set_experiment',
              'log_params', 'log_text', 'log_image', 'log_metrics',
              'log_artifact', 'end_run', 'MlflowException'],
        MlflowException=RuntimeError)
    monkeypatch.setitem(sys.modules, 'mlflow', mlflow)
    cfg = my_reco('MLflowVisBackend')
    cfg.custom_hooks.append(dict(type='ClassRelationHook'))
    Runner.from_cfg(cfg).train()
    logged = [call.args for call in mlflow.log_metrics.call_args_list]
    assert [step for row, step in logged if 'loss' in row] == [1, 2]
    assert any('mIoU' in name for row, _ in logged for name in row)
    pictures = {name: pixels for pixels, name in (
        call.args for call in mlflow.log_image.call_args_list)}
    assert min(pictures['pseudo_labels.png'].shape[:2]) > 100
    assert {'class_relation.png', 'pseudo_labels.png'} < {*pictures}
    # MLflow takes the kind of a file from its name
    assert all(Path(name).suffix in ('.png', '.jpg') for name in pictures)
    mlflow.end_run.assert_called_once_with()
