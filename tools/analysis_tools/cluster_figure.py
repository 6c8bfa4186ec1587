"""Paint clusters as the classes they are matched to, as one PNG.

``python tools/analysis_tools/cluster_figure.py CONFIG CHECKPOINT --out PNG``

For models without labels (PiCIE, FS4, K-means). All validation images are
predicted, to match clusters to classes as ``HungarianIoUMetric`` does; a row
for each of some: image, truth, clusters, and with ``--crf`` clusters behind a
dense CRF (``pip install pydensecrf2``), matched as without it.
"""
import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.logging import MMLogger
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import init_default_scope
from mmengine.runner import load_checkpoint
from mmseg.registry import DATASETS, MODELS

import mmseg_ssl  # noqa: F401  (registers what configs name)
from mmseg_ssl.engine.environment import CfgOptionsAction, apply_cfg_options
from mmseg_ssl.engine.hooks.preflight_hook import check_checkpoint
from mmseg_ssl.methods.picie import PixelClustering
from mmseg_ssl.methods.picie.illustration import (
    TITLES,
    PaintedClusters,
    painted_row,
    predict,
)
from mmseg_ssl.visualization.panels import (
    class_swatches,
    label_panel,
    save_panels,
)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('config', help='path of the config')
    parser.add_argument('checkpoint', help='path of the checkpoint')
    parser.add_argument(
        '--out', type=Path, required=True, help='the PNG to write')
    parser.add_argument(
        '--num', type=int, default=4,
        help='rows, evenly spaced over the validation images (4)')
    parser.add_argument(
        '--crf', action='store_true', help='a column behind a dense CRF, with '
        'the options in crf_model of the config')
    parser.add_argument(
        '--predictions-only', action='store_true',
        help='without image and truth, for data sets that may not be shown')
    parser.add_argument(
        '--cfg-options', nargs='+', action=CfgOptionsAction,
        metavar='KEY=VALUE',
        help='override config entries, e.g. data_root=DIR')
    return parser.parse_args()


def load_model(cfg: Config, checkpoint: str) -> PixelClustering:
    """The model with the weights of a checkpoint, ready to predict.

    Raises:
        ValueError: If the model predicts no clusters.
    """
    model = revert_sync_batchnorm(MODELS.build(cfg.model))
    if not isinstance(model, PixelClustering):
        raise ValueError(f'{cfg.filename} is the config of a '
                         f'{type(model).__name__}, which predicts no clusters')
    check_checkpoint(model, checkpoint, 'predict')
    load_checkpoint(model, checkpoint, map_location='cpu')
    return model.to(get_device()).eval()


def crf_column(cfg: Config, model: PixelClustering, samples: Sequence[dict],
               painted: PaintedClusters) -> list[torch.Tensor]:
    """Class ids (H, W) of each sample behind a dense CRF."""
    options = cfg.get('crf_model', dict(type='DenseCRFSegmentor'))
    refined = MODELS.build(dict(options, module=model))
    return [painted.classes(predict(refined, sample)) for sample in samples]


def main() -> None:
    args = parse_args()
    cfg = Config.fromfile(args.config)
    apply_cfg_options(cfg, args.cfg_options)
    init_default_scope(cfg.get('default_scope', 'mmseg'))
    MMLogger.get_instance('cluster_figure', log_level='WARNING')
    try:
        model = load_model(cfg, args.checkpoint)
        dataset = DATASETS.build(cfg.val_dataloader.dataset)
        painted = PaintedClusters(model, dataset, args.num)
        refined = crf_column(
            cfg, model, [dataset[i] for i in painted.shown],
            painted) if args.crf else []
    except (FileNotFoundError, ImportError, ValueError) as error:
        sys.exit(f'cluster_figure.py: {error}')
    palette = dataset.metainfo['palette']
    first = TITLES.index('clusters as classes') if args.predictions_only else 0
    titles = [*TITLES[first:], *(['and a dense CRF'] if refined else [])]
    rows = [painted_row(painted, sample, palette)[first:]
            for sample in painted.predictions]
    for row, labels in zip(rows, refined):
        row.append(label_panel(labels, palette))
    maps = [painted.classes(sample) for sample in painted.predictions]
    if not args.predictions_only:
        maps += [sample.gt_sem_seg.data[0] for sample in painted.predictions]
    save_panels(rows, titles, args.out, class_swatches(
        [*maps, *refined], dataset.metainfo['classes'], palette))
    print(f'accuracy {painted.scores["aAcc"]:.2f} %, mean IoU '
          f'{painted.scores["mIoU"]:.2f} % of {len(dataset)} images; '
          f'{args.out}')


if __name__ == '__main__':
    main()
