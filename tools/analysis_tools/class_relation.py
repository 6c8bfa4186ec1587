"""Show which classes look alike to a network.

``python tools/analysis_tools/class_relation.py CONFIG CHECKPOINT [--out PNG]``

Averages the embeddings of each class over the validation set and draws the
cosine similarities of these means as a heat map, with the dendrogram that
SciPy makes of them (section 5 of ReCo's paper): once for the features that
enter the classifier, once for the ReCo embedding where there is one. The
numbers, and the pairs of classes that are most likely confused, stand in a
JSON file beside the picture. Several models are drawn below each other::

    class_relation.py CONFIG CKPT --compare CONFIG2 CKPT2 \
        --names Supervised "ReCo + Supervised" --out relation.png
"""
import argparse
import sys
from pathlib import Path

import numpy as np
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.device import get_device
from mmengine.logging import MMLogger
from mmengine.model import BaseModel, revert_sync_batchnorm
from mmengine.registry import init_default_scope
from mmengine.runner import load_checkpoint
from mmengine.utils import track_iter_progress
from mmseg.registry import DATASETS, MODELS

import mmseg_ssl  # noqa: F401  (registers what configs name)
from mmseg_ssl.engine.environment import (
    CfgOptionsAction,
    apply_cfg_options,
)
from mmseg_ssl.engine.hooks.preflight_hook import (
    check_checkpoint,
    check_num_classes,
    compare_weights,
)
from mmseg_ssl.visualization.class_relation import (
    ClassRelation,
    plot_relations,
    relate_classes,
    save_figure,
    write_json,
)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Show which classes look alike to a network')
    parser.add_argument('config', help='path of the config')
    parser.add_argument('checkpoint', help='path of the checkpoint')
    parser.add_argument(
        '--compare', nargs=2, action='append', default=[],
        metavar=('CONFIG', 'CHECKPOINT'), help='another model; repeatable')
    parser.add_argument(
        '--names', nargs='+', help='of the models (names of the configs)')
    parser.add_argument(
        '--out', type=Path,
        help='the PNG to write; the numbers go to a .json beside it '
        '(work_dirs/class_relation/<config name>.png)')
    parser.add_argument(
        '--num-images', type=int,
        help='images, evenly spaced over the validation set (all)')
    parser.add_argument(
        '--num-pairs', type=int, default=10,
        help='how many pairs of classes to name (10)')
    parser.add_argument(
        '--cfg-options', nargs='+', action=CfgOptionsAction,
        metavar='KEY=VALUE',
        help='override entries of all configs, e.g. data_root=DIR')
    args = parser.parse_args()
    args.models = [(args.config, args.checkpoint), *args.compare]
    args.names = args.names or [Path(c).stem for c, _ in args.models]
    if len(args.names) != len(args.models):
        parser.error(f'--names: {len(args.names)} for {len(args.models)} '
                     'models')
    if len(set(args.names)) != len(args.names):
        parser.error('the models need different --names, one for each')
    if args.num_images is not None and args.num_images < 1:
        parser.error('--num-images must be at least 1')
    args.out = args.out or Path(
        'work_dirs/class_relation', f'{Path(args.config).stem}.png')
    if args.out.suffix.lower() != '.png':
        parser.error(f'--out should end with .png, got {args.out}')
    return args


def load_model(cfg: Config, checkpoint: str) -> BaseModel:
    """The model with the weights of a checkpoint.

    Raises:
        ValueError: The checkpoint does not fit, or lacks the weights of the
            representation head, which prediction could do without.
    """
    model = revert_sync_batchnorm(MODELS.build(cfg.model))
    check_checkpoint(model, checkpoint, 'predict')
    weights = load_checkpoint(model, checkpoint, map_location='cpu')
    missing = compare_weights(
        model, weights.get('state_dict', weights)).not_loaded()
    if any('projector' in name.split('.') for name in missing):
        raise ValueError(
            f'{checkpoint} has no representation head (is it published?); '
            'take the checkpoint that training wrote, or a config without '
            'EmbeddingHead')
    return model.to(get_device()).eval()


def relations_of(config: str, checkpoint: str,
                 args: argparse.Namespace) -> dict[str, ClassRelation]:
    """Class relations of one model over its validation set."""
    cfg = Config.fromfile(config)
    apply_cfg_options(cfg, args.cfg_options)
    init_default_scope(cfg.get('default_scope', 'mmseg'))
    model = load_model(cfg, checkpoint)
    dataset = DATASETS.build(cfg.val_dataloader.dataset)
    check_num_classes(model, dataset)
    num = min(args.num_images or len(dataset), len(dataset))
    picked = np.linspace(0, len(dataset) - 1, num).round().astype(int)
    # Read one by one: the memory is that of one image.
    batches = (pseudo_collate([dataset[i]])
               for i in track_iter_progress(picked.tolist()))
    return relate_classes(model, batches, dataset.metainfo['classes'])


def describe(name: str, relations: dict[str, ClassRelation],
             num_pairs: int) -> str:
    """The closest pairs in words."""
    lines = []
    for kind, relation in relations.items():
        lines.append(f'\n{name}, {kind}: mean similarity '
                     f'{relation.mean_similarity():.3f}; most alike')
        lines += [f'  {value:6.3f}  {a} - {b}'
                  for a, b, value in relation.closest_pairs(num_pairs)]
        if relation.absent:
            lines.append(f'  without a pixel: {", ".join(relation.absent)}')
    return '\n'.join(lines)


def main() -> None:
    args = parse_args()
    MMLogger.get_instance('class_relation', log_level='WARNING')
    relations = {}
    for name, (config, checkpoint) in zip(args.names, args.models):
        try:
            relations[name] = relations_of(config, checkpoint, args)
        except (FileNotFoundError, ValueError) as error:
            sys.exit(f'class_relation.py: {config}: {error}')
        print(describe(name, relations[name], args.num_pairs))
    save_figure(plot_relations(relations), args.out)
    write_json(relations, args.out.with_suffix('.json'), args.num_pairs)
    print(f'{args.out}\n{args.out.with_suffix(".json")}')


if __name__ == '__main__':
    main()
