"""How far a training has come, from what it left in its work directory."""
import argparse
import hashlib
import json
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.runner import CheckpointLoader, find_latest_checkpoint

from mmseg_ssl.engine.environment import CfgOptionsAction, apply_cfg_options

OPTIONS = 'options.json'
# Where the data are and how they are read says nothing about what is trained.
_OF_THE_MACHINE = ('data_root', 'num_workers', 'persistent_workers',
                   'prefetch_factor', 'pin_memory')


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


def check_options(folder: Path, cfg_options: list[str]) -> None:
    """Do not go on with what was begun with other options.

    Args:
        folder (Path): A work directory, or a folder of results; without a
            record of :func:`record_options` it fits all options.
        cfg_options (list[str]): ``KEY=VALUE`` of the command line.

    Raises:
        ValueError: The options differ; names the keys.
    """
    path = folder / OPTIONS
    if not path.is_file():
        return
    before = _what_is_trained(json.loads(path.read_text()))
    now = _what_is_trained(cfg_options)
    differences = [
        f'{key} ({before.get(key, "not given")} before, '
        f'{now.get(key, "not given")} now)'
        for key in sorted(before.keys() | now.keys())
        if before.get(key) != now.get(key)
    ]
    if differences:
        raise ValueError(
            f'{folder} was begun with other --cfg-options: '
            f'{", ".join(differences)}; give the same, or another folder')


def record_options(folder: Path, cfg_options: list[str]) -> None:
    """Remember the options for :func:`check_options`.

    A work directory that holds a training already is left as it is, because
    nobody knows with which options that was begun.

    Args:
        folder (Path): A work directory, or a folder of results.
        cfg_options (list[str]): ``KEY=VALUE`` of the command line.
    """
    path = folder / OPTIONS
    if path.is_file() or (folder / 'last_checkpoint').is_file():
        return
    folder.mkdir(parents=True, exist_ok=True)
    options = _what_is_trained(cfg_options)
    path.write_text(json.dumps(
        [f'{key}={value}' for key, value in sorted(options.items())]) + '\n')


def _what_is_trained(cfg_options: list[str]) -> dict[str, str]:
    """The options that make a difference to the result."""
    options = dict(option.partition('=')[::2] for option in cfg_options)
    return {key: value for key, value in options.items()
            if key.split('.')[-1] not in _OF_THE_MACHINE}


def config_digest(cfg: Config, labels: str) -> str:
    """First 8 hex digits of the SHA-256 of what a config trains.

    Args:
        cfg (Config): Where files are and how they are read does not count;
            what is in lists of images does.
        labels (str): Path of its list of labelled images, of which only the
            places it stands at count.
    """
    def portable(node: Any) -> Any:
        if isinstance(node, dict):
            return {key: portable(value) for key, value in node.items()
                    if key not in _OF_THE_MACHINE}
        if isinstance(node, (list, tuple)):
            return [portable(child) for child in node]
        if not isinstance(node, str) or node == labels:
            return 'labels' if node == labels else node
        path = Path(node)
        if path.suffix == '.txt' and path.is_file():
            return path.read_text()
        return path.name if path.is_absolute() else node

    text = json.dumps(portable(cfg.to_dict()), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


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
