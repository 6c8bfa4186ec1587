"""How far a training has come, from what it left in its work directory."""
import argparse
from pathlib import Path

from mmengine.config import Config
from mmengine.runner import CheckpointLoader, find_latest_checkpoint

from mmseg_ssl.engine.environment import CfgOptionsAction, apply_cfg_options


def latest_checkpoint(work_dir: Path) -> Path | None:
    """The checkpoint written last, None if there is none.

    Raises:
        FileNotFoundError: If ``last_checkpoint`` names a file that is gone.
    """
    found = find_latest_checkpoint(work_dir) if work_dir.is_dir() else None
    if found is None:
        return None
    # a work directory may have been moved since
    path = work_dir / Path(found).name
    if not path.is_file():
        raise FileNotFoundError(
            f'{work_dir}/last_checkpoint names {path.name}, which is not '
            'there')
    return path


def requested_config(path: Path, cfg_options: list[str]) -> Config:
    """The config that ``tools/train.py`` would train.

    Args:
        path (Path): The config file.
        cfg_options (list[str]): ``KEY=VALUE`` of the command line.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument('options', nargs='*', action=CfgOptionsAction)
    cfg = Config.fromfile(path)
    apply_cfg_options(cfg, parser.parse_args(cfg_options).options)
    return cfg


def is_finished(cfg: Config, work_dir: Path) -> bool:
    """Whether a training of this length has ended in a work directory.

    Args:
        cfg (Config): Says how long the training is to be.
        work_dir (Path): The work directory.
    """
    latest = latest_checkpoint(work_dir)
    if latest is None:
        return False
    checkpoint = CheckpointLoader.load_checkpoint(
        str(latest), map_location='cpu')
    if 'message_hub' not in checkpoint:  # weights, not left by a training
        return False
    length = checkpoint['message_hub']['runtime_info']
    same_length = all(
        cfg.train_cfg[key] == length[key]
        for key in ('max_iters', 'max_epochs') if cfg.train_cfg.get(key))
    return same_length and checkpoint['meta']['iter'] >= length['max_iters']
