"""How far a training has come, from what it left in its work directory."""
from pathlib import Path

from mmengine.config import Config
from mmengine.runner import find_latest_checkpoint


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


def is_finished(config_name: str, work_dir: Path) -> bool:
    """Whether the last checkpoint is that of the last iteration.

    Args:
        config_name (str): File name of the config, under which mmengine put
            it into the work directory with all that was overridden.
        work_dir (Path): The work directory.
    """
    dumped = work_dir / config_name
    latest = latest_checkpoint(work_dir)
    if latest is None or not dumped.is_file():
        return False
    train_cfg = Config.fromfile(dumped).train_cfg
    last = train_cfg.get('max_iters') or train_cfg.max_epochs
    return latest.stem.endswith(f'_{last}')
