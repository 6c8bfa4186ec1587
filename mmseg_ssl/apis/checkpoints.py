"""From a checkpoint, or its name in the zoo, to a model that predicts."""
import re
from pathlib import Path
from typing import Any, NamedTuple

from mmcv.transforms import LoadAnnotations
from mmengine.config import Config, ConfigDict
from mmengine.model import BaseModel, revert_sync_batchnorm
from mmengine.registry import init_default_scope
from mmengine.runner.checkpoint import load_state_dict
from mmseg.models.segmentors import BaseSegmentor
from mmseg.registry import MODELS, TRANSFORMS
from torch import Tensor

from mmseg_ssl.apis.zoo import find_model
from mmseg_ssl.datasets.folder.writing import palette
from mmseg_ssl.engine.environment import refuse_folder
from mmseg_ssl.engine.hooks.preflight_hook import (
    check_trained_classes,
    check_weights,
    read_checkpoint,
)

SUFFIXES = ('.pth', '.pt', '.ckpt', '.onnx')


class Checkpoint(NamedTuple):
    """What a file of weights says.

    Attributes:
        path (str): Path or URL.
        weights (dict[str, Tensor]): By name.
        meta (dict): What training or publishing wrote down besides.
    """
    path: str
    weights: dict[str, Tensor]
    meta: dict[str, Any]

    @property
    def metainfo(self) -> dict[str, Any]:
        """Classes and palette, as in a dataset's ``metainfo``."""
        return self.meta.get('dataset_meta') or {}


class LoadedModel(NamedTuple):
    """A model with the weights of a checkpoint.

    Attributes:
        model (BaseSegmentor): In eval mode, on the CPU.
        config (Config): What it was built from.
        checkpoint (Checkpoint): What it was loaded from.
    """
    model: BaseSegmentor
    config: Config
    checkpoint: Checkpoint

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of what is predicted; clusters are numbered."""
        head = getattr(self.model, 'decode_head', None)
        if head is None:
            return tuple(
                f'cluster {i}' for i in range(self.model.out_channels))
        names = self.checkpoint.metainfo.get('classes')
        return tuple(names or (f'class {i}' for i in range(head.num_classes)))

    @property
    def palette(self) -> list[list[int]]:
        """RGB in [0, 255] of each class."""
        known = self.checkpoint.metainfo.get('palette') or []
        count = len(self.classes)
        if len(known) != count:
            return palette(count)
        return [list(map(int, rgb)) for rgb in known]


def load_segmentor(source: str | Path,
                   config: str | Path | Config | None = None) -> LoadedModel:
    """Build the model of a checkpoint and load its weights.

    Args:
        source (str | Path): A checkpoint of a training or a published one,
            as path or URL; or the name of a model of the zoo, or its config.
        config (str | Path | Config, optional): Of the model. Defaults to the
            one that the checkpoint carries.

    Returns:
        LoadedModel: The model, its config and the checkpoint.

    Raises:
        FileNotFoundError: The checkpoint or the config does not exist.
        ValueError: The name is not known; the path is a folder; the file is
            no checkpoint, has no config, one that names what is not
            installed, or one that it does not fit; its model predicts no
            classes.
    """
    path, zoo_config = locate(source)
    checkpoint = open_checkpoint(path)
    try:
        cfg = _config_of(checkpoint, config, zoo_config)
    except ImportError as error:  # of custom_imports
        raise ValueError(
            f'the config of {path} imports what is not here: {error}; install '
            'the package, or run where it can be found') from error
    init_default_scope(cfg.get('default_scope', 'mmseg'))
    model_cfg = cfg.model
    # as mmengine's Runner does
    model_cfg.setdefault('data_preprocessor', cfg.get('data_preprocessor'))
    model = revert_sync_batchnorm(_build(model_cfg, path))
    if not isinstance(model, BaseSegmentor):
        raise ValueError(
            f'{path} holds a {type(model).__name__}, which segments nothing; '
            'take the checkpoint of a segmentor, such as one that was '
            'fine-tuned from it')
    check_trained_classes(model, checkpoint.meta, path)
    check_weights(model, checkpoint.weights, path, 'predict')
    # what does not fit was reported above
    load_state_dict(model, checkpoint.weights, logger='silent')
    return LoadedModel(model.eval(), cfg, checkpoint)


def locate(source: str | Path) -> tuple[str, Path | None]:
    """Path or URL of a checkpoint, and its config if the zoo knows it.

    Raises:
        FileNotFoundError: It is a path, and there is no such file.
        ValueError: It is a folder, or a name that the zoo does not know.
    """
    text = str(source)
    refuse_folder(text)
    path = Path(text)
    is_config = path.suffix == '.py'
    if '://' in text or (path.is_file() and not is_config):
        return text, None
    if path.suffix.lower() in SUFFIXES or (len(path.parts) > 1
                                           and not is_config):
        raise FileNotFoundError(f'checkpoint {text} does not exist')
    known = find_model(text)
    return known.weights, known.config


def open_checkpoint(path: str) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        FileNotFoundError: It does not exist.
        ValueError: It cannot be read, or holds no weights.
    """
    content = read_checkpoint(path)
    weights = content.get('state_dict', content) if isinstance(
        content, dict) else {}
    if not any(isinstance(value, Tensor) for value in weights.values()):
        raise ValueError(f'{path} is no checkpoint: it holds no weights')
    weights = {name.removeprefix('module.'): value
               for name, value in weights.items()}
    return Checkpoint(path, weights, content.get('meta') or {})


def _config_of(checkpoint: Checkpoint, given: str | Path | Config | None,
               zoo_config: Path | None) -> Config:
    """The config given, else the checkpoint's own, else the zoo's."""
    if isinstance(given, Config):
        return given
    if given is not None:
        if not Path(given).is_file():
            raise FileNotFoundError(f'config {given} does not exist')
        return Config.fromfile(given)
    text = checkpoint.meta.get('cfg')
    if isinstance(text, str):
        return Config.fromstring(text, '.py')
    if zoo_config is not None:
        return Config.fromfile(zoo_config)
    raise ValueError(
        f'{checkpoint.path} carries no config: give the one it was trained '
        'with (--config FILE, or config=FILE)')


def _build(cfg: ConfigDict, path: str) -> BaseModel:
    """Build a model, or say what it does not know."""
    try:
        return MODELS.build(cfg)
    except KeyError as error:
        # constructors look keys up, too
        problem = ('names what is not registered'
                   if 'registry' in str(error) else 'cannot be built')
        raise ValueError(
            f'the config of {path} {problem}: {error.args[0]}') from error


def config_name(checkpoint: Checkpoint) -> str:
    """Name of the config that a training used, as far as it can be told.

    mmengine calls an experiment by its config and the time; a work directory
    holds the config.
    """
    name = checkpoint.meta.get('experiment_name') or ''
    match = re.fullmatch(r'(.+)_\d{8}_\d{6}', name)
    if match:
        return match.group(1)
    beside = sorted(Path(checkpoint.path).parent.glob('*.py'))
    return name or (beside[0].stem if len(beside) == 1 else
                    Path(checkpoint.path).stem)


def find_test_pipeline(config: Config) -> list[dict]:
    """The pipeline that a config tests with, at the top or in a dataset.

    Raises:
        ValueError: There is none.
    """
    if config.get('test_pipeline'):
        return list(config.test_pipeline)
    for loader in ('test_dataloader', 'val_dataloader'):
        dataset = (config.get(loader) or {}).get('dataset') or {}
        if dataset.get('pipeline'):
            return list(dataset['pipeline'])
    raise ValueError('the config has no test_pipeline, so it is not known how '
                     'to prepare images')


def transform_class(transform: dict) -> type:
    """The class of a transform of a pipeline.

    Raises:
        ValueError: It is not registered.
    """
    kind = TRANSFORMS.get(transform['type'])
    if kind is None:
        raise ValueError(
            'the test pipeline of the config names what is not registered: '
            f'{transform["type"]}; import it by custom_imports')
    return kind


def loads_annotations(transform: dict) -> bool:
    """Whether a transform reads label maps, which prediction must not."""
    return issubclass(transform_class(transform), LoadAnnotations)
