"""Configs of published models: what predicts, in mmseg's own words."""
import inspect
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config
from mmseg.registry import DATASETS, METRICS, MODELS

from mmseg_ssl.apis.checkpoints import (
    LoadedModel,
    find_test_pipeline,
    loads_annotations,
)
from mmseg_ssl.datasets import SemiSegDataPreProcessor
from mmseg_ssl.datasets.base import CheckedSegDataset
from mmseg_ssl.methods.jigsaw.transfer import TransferEncoderDecoder
from mmseg_ssl.methods.reco import EmbeddingHead

# What an environment with mmseg has; anything else a model needs is reported.
PLAIN_PACKAGES = ('torch', 'mmengine', 'mmcv', 'mmseg')
# Only for training, or for the start of it.
_NOT_PUBLISHED = ('auxiliary_head', 'init_cfg', 'pretrained', 'train_cfg')


def package_of(kind: type) -> str:
    """The package that a class is in."""
    return kind.__module__.partition('.')[0]


def plain_model_config(node: Any) -> Any:
    """Replace, at any depth, what only trains by what it wraps.

    ``EmbeddingHead`` by its head, ``TransferEncoderDecoder`` and the
    preprocessor of two branches by mmseg's; SyncBN by BN, which has the same
    weights and needs no GPU. Auxiliary heads and initialisations go.

    Args:
        node (Any): The config of a model, or a part of it; is not changed.

    Returns:
        Any: The same with plain dictionaries.
    """
    if isinstance(node, (list, tuple)):
        return type(node)(plain_model_config(child) for child in node)
    if not isinstance(node, dict):
        return node
    name = node.get('type')
    kind = MODELS.get(name) if isinstance(name, str) else None
    if _is(kind, EmbeddingHead):
        return plain_model_config(node['head'])
    plain = {key: plain_model_config(value) for key, value in node.items()
             if key not in _NOT_PUBLISHED}
    if _is(kind, TransferEncoderDecoder):
        del plain['transfer']
        plain['type'] = 'EncoderDecoder'
    elif _is(kind, SemiSegDataPreProcessor):
        plain['type'] = 'SegDataPreProcessor'
    elif name == 'SyncBN':
        plain['type'] = 'BN'
    return plain


def _is(kind: Any, parent: type) -> bool:
    return isinstance(kind, type) and issubclass(kind, parent)


def config_text(loaded: LoadedModel, model: dict, packages: set[str],
                title: str) -> str:
    """Write the config of a published model, to predict and evaluate with.

    Args:
        loaded (LoadedModel): The original.
        model (dict): Config of the published model.
        packages (set[str]): Packages beside mmseg that the model needs.
        title (str): A line of comment at its head.

    Returns:
        str: Text of a Python file.
    """
    pipeline = list(_plain_pipeline(find_test_pipeline(loaded.config)))
    config: dict[str, Any] = dict(default_scope='mmseg')
    if imports := _imports(loaded.config, packages):
        config['custom_imports'] = dict(
            imports=imports, allow_failed_imports=False)
    vis_backends = [dict(type='LocalVisBackend')]
    config.update(
        model=plain_values(model),
        test_pipeline=pipeline,
        test_dataloader=dict(
            batch_size=1,
            num_workers=1,
            sampler=dict(type='DefaultSampler', shuffle=False),
            dataset=_plain_dataset(loaded, pipeline)),
        test_evaluator=_evaluator(loaded.config, packages),
        test_cfg=dict(type='TestLoop'),
        env_cfg=dict(
            mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
            dist_cfg=dict(backend='nccl')),
        default_hooks=dict(visualization=dict(type='SegVisualizationHook')),
        vis_backends=vis_backends,
        visualizer=dict(type='SegLocalVisualizer', name='visualizer',
                        vis_backends=vis_backends),
        log_processor=dict(by_epoch=False),
        log_level='INFO')
    return (f'# {title}\n{_note_on_label_values(loaded.config)}'
            f'{Config(config).pretty_text}')


def _imports(config: Config, packages: set[str]) -> list[str]:
    """What registers the parts of some packages: the config's own, or all."""
    given = (config.get('custom_imports') or {}).get('imports') or []
    given = [given] if isinstance(given, str) else given
    named = {package: [name for name in given
                       if name.partition('.')[0] == package]
             for package in sorted(packages)}
    return [name for package, names in named.items()
            for name in names or [package]]


def _note_on_label_values(config: Config) -> str:
    """A comment where label maps held other numbers than ids of classes."""
    values = [transform['values']
              for transform in find_test_pipeline(config)
              if 'values' in transform and loads_annotations(transform)]
    if not values:
        return ''
    return (f'# Its label maps hold the values {list(values[0])}. To evaluate '
            'with this config, write\n# the ids of the classes instead: 0, 1, '
            '..., and 255 for what does not count.\n')


def _plain_pipeline(pipeline: list[dict]) -> Iterator[dict]:
    """Let mmseg load label maps, which it knows to leave out to predict."""
    for transform in pipeline:
        yield (dict(type='LoadAnnotations') if loads_annotations(transform)
               else plain_values(transform))


def _plain_dataset(loaded: LoadedModel,
                   pipeline: list[dict]) -> dict[str, Any]:
    """The same files for mmseg's dataset, without paths of this machine."""
    plain: dict[str, Any] = dict(
        type='BaseSegDataset',
        data_root='data',
        data_prefix=dict(img_path='img_dir/val', seg_map_path='ann_dir/val'),
        metainfo=dict(classes=loaded.classes, palette=loaded.palette),
        pipeline=pipeline)
    given = (loaded.config.get('test_dataloader') or {}).get('dataset') or {}
    kind = DATASETS.get(given['type']) if 'type' in given else None
    if kind is None or (getattr(kind, 'load_data_list', None)
                        is not CheckedSegDataset.load_data_list):
        return plain
    for name in ('img_suffix', 'seg_map_suffix', 'reduce_zero_label'):
        plain[name] = given.get(name, _default(kind, name))
    plain['data_prefix'].update({
        key: path for key, path in given['data_prefix'].items()
        if not os.path.isabs(path or '')})
    root = given.get('data_root') or ''
    if root and not os.path.isabs(root):
        plain['data_root'] = root
    if given.get('ann_file'):
        path = given['ann_file']
        plain['ann_file'] = Path(path).name if os.path.isabs(path) else path
    return plain


def _default(kind: type, name: str) -> Any:
    """Default of an argument that a class may leave to its parents."""
    return next(
        parameters[name].default for parameters in (
            inspect.signature(parent.__init__).parameters  # type: ignore[misc]
            for parent in kind.__mro__) if name in parameters)


def _evaluator(config: Config, packages: set[str]) -> Any:
    """The config's metrics, or mmseg's where none of these can be taken.

    Those that are not at hand are left out, and those that write files.
    """
    given = config.get('test_evaluator') or config.get('val_evaluator') or []
    metrics = given if isinstance(given, list) else [given]
    plain = []
    for metric in metrics:
        kind = METRICS.get(metric['type'])
        if (kind is not None and not metric.get('output_dir')
                and package_of(kind) in {*PLAIN_PACKAGES, *packages}):
            plain.append(plain_values(metric))
    if not plain:
        return dict(type='IoUMetric', iou_metrics=['mIoU'])
    return plain if isinstance(given, list) else plain[0]


def plain_values(value: Any) -> Any:
    """The same in types that ``torch.load(weights_only=True)`` allows."""
    if isinstance(value, dict):
        return {str(key): plain_values(child) for key, child in value.items()}
    if isinstance(value, (list, tuple)):
        children = [plain_values(child) for child in value]
        return tuple(children) if isinstance(value, tuple) else children
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return str(value)
