"""Checkpoints for others: what predicts, under mmseg's own names.

A model of the few-label methods on mmseg's backbones and heads becomes a plain
``EncoderDecoder``, which runs where this package is not installed.
"""
import hashlib
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from mmengine.config import Config, ConfigDict
from mmseg.models.segmentors import BaseSegmentor
from mmseg.registry import MODELS
from torch import Tensor, nn

from mmseg_ssl.apis.checkpoints import (
    LoadedModel,
    config_name,
    find_test_pipeline,
    load_segmentor,
    loads_annotations,
    transform_class,
)
from mmseg_ssl.apis.files import writable_folder
from mmseg_ssl.apis.onnx_export import (
    TOLERANCE,
    ImagesToLogits,
    check_size,
    export_onnx,
    input_size,
    make_images,
)
from mmseg_ssl.apis.plain_config import (
    PLAIN_PACKAGES,
    config_text,
    package_of,
    plain_model_config,
    plain_values,
)
from mmseg_ssl.engine.hooks.preflight_hook import training_only_prefixes
from mmseg_ssl.methods.mean_teacher import MeanTeacher
from mmseg_ssl.methods.mean_teacher.mean_teacher import PREDICT_ON
from mmseg_ssl.methods.reco import EmbeddingHead

_HASH_DIGITS = 8


class Network(NamedTuple):
    """The network of a model that predicts.

    Attributes:
        model (BaseSegmentor): In eval mode.
        config (dict): What builds it.
        role (str): ``'teacher'``, ``'student'``, or ``'model'`` where there
            is only one.
    """
    model: BaseSegmentor
    config: dict
    role: str


class Published(NamedTuple):
    """What was written.

    Attributes:
        checkpoint (Path): ``<config>_<YYYYMMDD>-<sha8>.pth``.
        config (Path): The same name, ``.py``.
        onnx (Path, optional): ``<config>_<YYYYMMDD>-<sha8>.onnx``, where the
            model needs more than mmseg.
        role (str): See :class:`Network`.
        needs (dict[str, list[str]]): Classes that mmseg does not have, by the
            package that has them.
        difference (float): Largest difference of a logit from the original.
    """
    checkpoint: Path
    config: Path
    onnx: Path | None
    role: str
    needs: dict[str, list[str]]
    difference: float


def publish(source: str | Path,
            out: str | Path,
            config: str | Path | None = None,
            keep: str | None = None,
            size: Sequence[int] | None = None) -> Published:
    """Write the network that predicts, and its config.

    Optimizer, logs, the other network, projectors, auxiliary heads and
    discriminators are left out; the classes stay (``meta['dataset_meta']``).
    The checkpoint loads with ``torch.load(weights_only=True)``. If nothing but
    mmseg is needed, so does the model; otherwise it is also written as ONNX.
    Before anything is written, predictions are compared with the original's.

    Args:
        source (str | Path): As for
            :func:`mmseg_ssl.apis.checkpoints.load_segmentor`.
        out (str | Path): Folder to write to.
        config (str | Path, optional): Defaults to the checkpoint's own.
        keep (str, optional): ``'teacher'`` or ``'student'``. Defaults to the
            one that the config evaluates.
        size (Sequence[int], optional): Height and width of the images that
            predictions are compared on, and of those that the ONNX file
            takes. Defaults to what the config tests with.

    Returns:
        Published: The files, and what the model needs.

    Raises:
        OSError: The folder cannot be written to.
        ImportError: The model has to be written as ONNX, and a package for
            that is not installed.
        ValueError: The checkpoint, ``keep`` or ``size`` cannot be used.
        RuntimeError: Predictions are not the original's.
    """
    folder = writable_folder(out)
    loaded = load_segmentor(source, config)
    network = network_of(loaded, keep)
    model, model_cfg = plain_model(network)
    height_width = check_size(size or input_size(loaded.config, model))
    difference = compare(network.model, model, height_width)
    needs = foreign_classes(model, loaded.config)
    name = _name(loaded, config)
    onnx = None
    if needs:
        onnx, rounding = _write_onnx(loaded, model, folder / name,
                                     height_width)
        difference = max(difference, rounding)
    method = type(loaded.model).__name__
    text = config_text(
        loaded, model_cfg, set(needs),
        f'{name}: {network.role} of {method}'
        if network.role != 'model' else f'{name}: {method}')
    checkpoint = _save(
        dict(meta=_meta(loaded, network.role, text),
             state_dict=published_weights(model)),
        folder / f'{name}.pth')
    config_path = checkpoint.with_suffix('.py')
    config_path.write_text(text)
    return Published(checkpoint, config_path, onnx, network.role, needs,
                     difference)


def publish_onnx(source: str | Path,
                 out: str | Path,
                 config: str | Path | None = None,
                 keep: str | None = None,
                 size: Sequence[int] | None = None,
                 batch_size: int = 1) -> tuple[Path, float]:
    """Write the network that predicts as ONNX.

    Args:
        source, out, config, keep, size: As for :func:`publish`.
        batch_size (int): Images that the file takes at once. Defaults to 1.

    Returns:
        tuple[Path, float]: The file, and the largest difference of a logit.

    Raises:
        OSError, ImportError, ValueError, RuntimeError: As :func:`publish`.
    """
    folder = writable_folder(out)
    loaded = load_segmentor(source, config)
    model, _ = plain_model(network_of(loaded, keep))
    height_width = check_size(size or input_size(loaded.config, model))
    return _write_onnx(loaded, model, folder / _name(loaded, config),
                       height_width, batch_size)


def network_of(loaded: LoadedModel, keep: str | None = None) -> Network:
    """Choose the network to publish.

    Args:
        loaded (LoadedModel): A model.
        keep (str, optional): ``'teacher'``, ``'student'``, or the one that
            predicts.

    Raises:
        ValueError: ``keep`` is neither of them, or there is only one network.
    """
    model, model_cfg = loaded.model, loaded.config.model
    if keep is not None and keep not in PREDICT_ON:
        raise ValueError(f'keep must be one of {PREDICT_ON}, not {keep!r}')
    if not isinstance(model, MeanTeacher):
        if keep is not None:
            raise ValueError(
                f'the model in {loaded.checkpoint.path} '
                f'({type(model).__name__}) has no {keep}: leave --keep out')
        return Network(model, model_cfg, 'model')
    keep = keep or model.test_cfg['predict_on']
    network = model.student if keep == 'student' else model.teacher.module
    config = dict(model_cfg.segmentor)
    config['data_preprocessor'] = (
        model_cfg.get('data_preprocessor') or config.get('data_preprocessor'))
    # images come through the preprocessor of the model around it
    network.data_preprocessor = model.data_preprocessor
    return Network(network, config, keep)


def plain_model(network: Network) -> tuple[BaseSegmentor, dict]:
    """Build what predicts alike with as few classes of ours as possible.

    Args:
        network (Network): Is not changed.

    Returns:
        tuple[BaseSegmentor, dict]: The model with the weights, in eval mode,
        and its config.

    Raises:
        RuntimeError: A weight that predicts has no place in it.
    """
    config = plain_model_config(network.config)
    model = MODELS.build(ConfigDict(config))
    missing, unexpected = model.load_state_dict(
        published_weights(network.model), strict=False)
    unused = training_only_prefixes(model)
    missing = [name for name in missing if not name.startswith(unused)]
    if missing or unexpected:
        raise RuntimeError(
            f'{type(network.model).__name__} cannot be published: no place '
            f'for {unexpected[:3]}, no weights for {missing[:3]}')
    return model.eval(), config


def published_weights(model: nn.Module) -> dict[str, Tensor]:
    """Weights that predict, by the names they have in the plain model."""
    weights = model.state_dict()
    for name, module in model.named_modules():
        if isinstance(module, EmbeddingHead):
            outer, inner = f'{name}.', f'{name}.head.'
            weights = {
                key.replace(inner, outer, 1): value
                for key, value in weights.items()
                if key.startswith(inner) or not key.startswith(outer)}
    unused = training_only_prefixes(model)
    # Channels-last weights would keep their order in the file.
    return {name: value.detach().cpu().contiguous()
            for name, value in weights.items()
            if not name.startswith(unused)}


def compare(original: BaseSegmentor, published: BaseSegmentor,
            size: tuple[int, int]) -> float:
    """Largest difference of logits of two models on the same images.

    Raises:
        RuntimeError: It is 1e-4 or more.
    """
    images = make_images(2, size)
    with torch.no_grad():
        first, second = (ImagesToLogits(model).eval()(images)
                         for model in (original, published))
    difference = float((first - second).abs().max())
    if not difference < TOLERANCE:
        raise RuntimeError(
            f'logits of the published model differ by {difference:.1e} from '
            'those of the original; nothing was written')
    return difference


def foreign_classes(model: nn.Module, config: Config) -> dict[str, list[str]]:
    """Classes that mmseg does not have and that take part in prediction.

    Args:
        model (nn.Module): The model to publish.
        config (Config): Its config, for the transforms of the test.

    Returns:
        dict[str, list[str]]: Their names by the package they are in.
    """
    unused = training_only_prefixes(model)
    kinds = {type(module) for name, module in model.named_modules()
             if not f'{name}.'.startswith(unused)}
    kinds.update(
        transform_class(transform)
        for transform in find_test_pipeline(config)
        if not loads_annotations(transform))
    needs: dict[str, list[str]] = {}
    for kind in sorted(kinds, key=lambda kind: kind.__name__):
        if package_of(kind) not in PLAIN_PACKAGES:
            needs.setdefault(package_of(kind), []).append(kind.__name__)
    return needs


def _name(loaded: LoadedModel, config: str | Path | None) -> str:
    """``<config>_<YYYYMMDD>``: its config, and the day of its training."""
    name = Path(config).stem if config else config_name(loaded.checkpoint)
    day = loaded.checkpoint.meta.get('time') or time.strftime('%Y%m%d')
    return f'{name}_{day[:8]}'


def _write_onnx(loaded: LoadedModel, model: BaseSegmentor, stem: Path,
                size: tuple[int, int],
                batch_size: int = 1) -> tuple[Path, float]:
    """Export, with what a user has to know beside the shapes."""
    pipeline = [
        plain_values(transform)
        for transform in find_test_pipeline(loaded.config)
        if not loads_annotations(transform)]
    metadata = dict(
        name=stem.name, classes=loaded.classes, palette=loaded.palette,
        test_pipeline=pipeline)
    head = getattr(model, 'decode_head', None)
    if head is not None and head.out_channels == 1:
        metadata['threshold'] = head.threshold
    with _scratch(stem.parent) as scratch:
        path = scratch / f'{stem.name}.onnx'
        difference = export_onnx(model, path, size, batch_size, metadata)
        return _put_hash(path, stem.parent), difference


def _meta(loaded: LoadedModel, role: str, text: str) -> dict[str, Any]:
    """What the checkpoint says of itself, in plain types."""
    import mmseg_ssl  # which imports this module

    old = loaded.checkpoint.meta
    kept = ('epoch', 'iter', 'seed', 'time', 'experiment_name',
            'mmengine_version')
    return plain_values(dict(
        {key: old[key] for key in kept if key in old},
        cfg=text,
        method=old.get('method', type(loaded.model).__name__),
        network=old.get('network', role),
        mmseg_ssl_version=mmseg_ssl.__version__,
        dataset_meta=loaded.checkpoint.metainfo))


def _save(content: dict[str, Any], path: Path) -> Path:
    """Write a checkpoint and put the hash of the file into its name."""
    with _scratch(path.parent) as scratch:
        # An open file, because the bytes would depend on the file's name.
        with open(scratch / path.name, 'wb') as file:
            torch.save(content, file)
        return _put_hash(scratch / path.name, path.parent)


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """Where files are written before their names are known.

    Nobody reads half a file or writes over that of another call.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix='.') as path:
        yield Path(path)


def _put_hash(path: Path, folder: Path) -> Path:
    """Move ``NAME.EXT`` to ``NAME-<sha8>.EXT``, by the file's SHA-256."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:_HASH_DIGITS]
    return path.replace(folder / f'{path.stem}-{digest}{path.suffix}')
