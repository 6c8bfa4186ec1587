"""Models by name, as the metafiles beside the configs list them."""
import difflib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from mmengine.fileio import load

from mmseg_ssl.engine.environment import config_folder

MAX_SUGGESTED = 5


class ZooModel(NamedTuple):
    """A model of the zoo.

    Attributes:
        name (str): Its name, the stem of its config.
        config (Path): The config it was trained with.
        weights (str): URL or path of its checkpoint.
    """
    name: str
    config: Path
    weights: str


def zoo_root() -> Path:
    """The folder of ``model-index.yml``: the checkout, or ``.mim``.

    Raises:
        FileNotFoundError: Neither is there.
    """
    return config_folder().parent


def _entries(root: Path) -> Iterator[dict]:
    """All models in all metafiles."""
    for metafile in load(root / 'model-index.yml').get('Import') or ():
        yield from load(root / metafile).get('Models') or ()


def _names(entry: dict) -> list[str]:
    alias = entry.get('Alias') or []
    return [entry['Name'], *([alias] if isinstance(alias, str) else alias)]


def find_model(name: str, root: Path | None = None) -> ZooModel:
    """Look a model up by its name or alias, in any case.

    Args:
        name (str): As in a metafile; a config's file name is one, too.
        root (Path, optional): Folder of ``model-index.yml``. Defaults to
            that of this package.

    Returns:
        ZooModel: The model.

    Raises:
        ValueError: The zoo has no such model (names near ones), or no weights
            of it are published.
    """
    root = root or zoo_root()
    entries = {known.lower(): entry for entry in _entries(root)
               for known in _names(entry)}
    key = Path(name).name.removesuffix('.py').lower()
    if key not in entries:
        raise ValueError(_unknown(name, key, sorted(entries), root))
    entry = entries[key]
    weights = str(entry.get('Weights') or '')
    if '://' not in weights:
        path = root / weights
        if not weights or not path.is_file():
            raise ValueError(
                f'no weights of {entry["Name"]} are published: train it '
                f'(python tools/train.py {entry["Config"]}) and give the '
                'path of its checkpoint')
        weights = str(path)
    return ZooModel(entry['Name'], root / entry['Config'], weights)


def _unknown(name: str, key: str, known: list[str], root: Path) -> str:
    parts = [known_name for known_name in known if key in known_name]
    near = difflib.get_close_matches(key, known, MAX_SUGGESTED, cutoff=0.5)
    near = list(dict.fromkeys([*near, *parts]))[:MAX_SUGGESTED]
    advice = (f'near names are {", ".join(near)}' if near else
              'give the path of a checkpoint, or a name that '
              f'{root}/configs/*/metafile.yml lists')
    return f'{name!r} is neither a file nor a model of the zoo; {advice}'
