"""One HTML page on any number of trainings, readable without this package.

Curves, a table, per-class IoU, and pictures image / truth / prediction of
every run; of models that predict something else what they show of themselves.
All images are embedded, so the page can be moved or mailed as one file.
"""
import base64
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import jinja2
import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from mmengine.dataset import pseudo_collate
from mmengine.device import get_device
from mmengine.model import BaseModel, revert_sync_batchnorm
from mmengine.registry import init_default_scope
from mmengine.runner import load_checkpoint
from mmengine.utils import track_iter_progress
from mmseg.registry import DATASETS, MODELS
from PIL import Image

from mmseg_ssl.visualization.panels import Illustration, colour, draw_panels
from mmseg_ssl.visualization.run_log import LOSS, Curve, TrainingRun

# logged while training, of no interest as a curve; also ``student.lr``
_NOT_PLOTTED = ('time', 'data_time', 'memory', 'base_lr', 'lr')
MEDIA_TYPES = dict(SVG='image/svg+xml', PNG='image/png', JPEG='image/jpeg')


@dataclass
class Picture:
    """An image with its label maps, all (H, W) in the image's size."""

    name: str
    image: np.ndarray  # (H, W, 3) uint8, RGB
    truth: np.ndarray | None
    predictions: dict[str, np.ndarray]


@dataclass
class Metric:
    """A metric by which some of the runs are compared.

    Attributes:
        name (str): As the runs log it.
        plot (str, optional): The curves as a data URI; None for the loss,
            which is among those of training.
    """

    name: str
    plot: str | None


def group_runs(runs: Iterable[TrainingRun]) -> dict[str, list[TrainingRun]]:
    """Collect the runs that share a name (and differ in their seed)."""
    groups: dict[str, list[TrainingRun]] = {}
    for run in runs:
        groups.setdefault(run.name, []).append(run)
    return groups


# ------------------------------- pictures -------------------------------


def make_pictures(runs: Sequence[TrainingRun],
                  num_images: int) -> tuple[list[Picture], dict[str, Any]]:
    """Let one run of each name predict images of the validation set.

    Args:
        runs (Sequence[TrainingRun]): Of models that predict classes, of the
            same data. The first of each name predicts with its last
            checkpoint.
        num_images (int): How many images, evenly spaced in the set.

    Returns:
        tuple: The pictures, and the ``metainfo`` of the data set.
    """
    init_default_scope('mmseg')
    dataset = DATASETS.build(runs[0].config.val_dataloader.dataset)
    num_images = min(num_images, len(dataset))
    indices = np.linspace(0, len(dataset), num_images, endpoint=False)
    samples = [dataset[int(i)] for i in indices]
    pictures = [_without_predictions(sample) for sample in samples]
    for name, group in group_runs(runs).items():
        model = load_model(group[0])
        print(f'{name} predicts')
        progress = track_iter_progress(list(zip(pictures, samples,
                                                strict=True)))
        for picture, sample in progress:
            picture.predictions[name] = predict(model, sample)
        print()
    return pictures, dataset.metainfo


def make_illustrations(runs: Iterable[TrainingRun],
                       num_images: int) -> dict[str, Illustration]:
    """Let models that predict no classes show what they do.

    Those are asked that have a method ``illustrate(dataset, num_images)``
    which returns an :class:`~mmseg_ssl.visualization.panels.Illustration`:
    with images of the validation set, or of the training set where there is
    no other. The first run of each name has its last checkpoint loaded.

    Returns:
        dict[str, Illustration]: By name of the run.
    """
    shown = {}
    for name, group in group_runs(runs).items():
        config = group[0].config
        init_default_scope(config.get('default_scope', 'mmseg'))
        if not hasattr(MODELS.get(config.model.type), 'illustrate'):
            continue
        print(f'{name} is illustrated', flush=True)
        loader = config.get('val_dataloader') or config.train_dataloader
        shown[name] = load_model(group[0]).illustrate(
            DATASETS.build(loader.dataset), num_images)
    return shown


def load_model(run: TrainingRun) -> BaseModel:
    """The model of a run with the weights of its last checkpoint."""
    model = revert_sync_batchnorm(MODELS.build(run.config.model))
    load_checkpoint(model, str(run.checkpoint), map_location='cpu')
    return model.to(get_device()).eval()


@torch.no_grad()
def predict(model: BaseModel, sample: dict[str, Any]) -> np.ndarray:
    """Class ids (H, W) in the size of the original image."""
    result, = model.test_step(pseudo_collate([sample]))
    return result.pred_sem_seg.data.squeeze(0).cpu().numpy().astype(np.uint8)


def _without_predictions(sample: dict[str, Any]) -> Picture:
    data_sample = sample['data_samples']
    truth = None
    if 'gt_sem_seg' in data_sample:
        truth = data_sample.gt_sem_seg.data.squeeze(0).numpy().astype(np.uint8)
    path = Path(data_sample.img_path)
    with Image.open(path) as image:
        pixels = np.asarray(image.convert('RGB'))
    return Picture(path.stem, pixels, truth, {})


# -------------------------------- curves --------------------------------


def plot_scores(runs: Sequence[TrainingRun],
                colours: dict[str, str]) -> Figure:
    """What runs of one metric reached at validations, over iterations."""
    figure, axes = plt.subplots(figsize=(7.2, 3.6), layout='constrained')
    for name, group in group_runs(runs).items():
        for i, run in enumerate(group):
            _plot(axes, run.score, colours[name], name if i == 0 else None,
                  marker='o', markersize=3.5)
    axes.set(xlabel='iteration', ylabel=f'validation {runs[0].metric_name}',
             ylim=(0, None))
    axes.legend(frameon=False, loc='lower right')
    return figure


def plot_training(groups: dict[str, list[TrainingRun]],
                  colours: dict[str, str]) -> Figure | None:
    """Everything the runs logged while training, a small plot for each.

    What a plain segmentor logs as ``decode.loss_ce`` a wrapped one logs as
    ``loss_ce``; they share a plot.
    """
    curves: dict[str, list[tuple[str, Curve]]] = {}
    for name, group in groups.items():
        for run in group:
            for key, curve in run.train.items():
                if key.split('.')[-1] not in _NOT_PLOTTED:
                    curves.setdefault(key.removeprefix('decode.'), []).append(
                        (colours[name], curve))
    if not curves:
        return None
    columns = 3
    rows = math.ceil(len(curves) / columns)
    figure, grid = plt.subplots(
        rows, columns, figsize=(10.8, 2.3 * rows), layout='constrained',
        squeeze=False)
    for (key, logged), axes in zip(curves.items(), grid.flat, strict=False):
        for line_colour, curve in logged:
            _plot(axes, curve, line_colour)
        axes.set_title(key, fontsize=9)
    for axes in grid.flat[len(curves):]:
        axes.set_axis_off()
    return figure


def _plot(axes: Axes, curve: Curve, colour: str, label: str | None = None,
          **style: Any) -> None:
    axes.plot(curve.steps, curve.values, color=colour, label=label,
              linewidth=1.5, **style)
    axes.grid(alpha=0.25)
    axes.tick_params(labelsize=8)
    axes.spines[['top', 'right']].set_visible(False)


# --------------------------------- page ---------------------------------


def run_rows(runs: Sequence[TrainingRun]) -> list[dict[str, Any]]:
    """What the table of runs says, with gains over the first name's mean.

    There is no gain over another metric, nor of a loss.
    """
    groups = group_runs(runs)
    metric = runs[0].metric_name
    baseline = mean(run.score.last for run in groups[runs[0].name])
    rows = []
    for run in runs:
        best, best_at = run.best
        compared = (run.name != runs[0].name and run.metric_name == metric
                    and metric != LOSS)
        rows.append(dict(
            name=run.name,
            config=run.config_path.stem,
            seed=run.seed,
            metric=run.metric_name,
            iterations=run.iterations,
            last=run.score.last,
            last_at=run.score.steps[-1],
            gain=run.score.last - baseline if compared else None,
            best=best,
            best_at=best_at,
            seconds=run.seconds_per_iteration,
            memory=run.peak_memory,
            log_hash=run.log_hash))
    return rows


def summary_rows(runs: Sequence[TrainingRun]) -> list[dict[str, Any]]:
    """Mean and standard deviation of names that stand for several seeds."""
    rows = []
    for name, group in group_runs(runs).items():
        if len(group) > 1:
            last = [run.score.last for run in group]
            best = [run.best[0] for run in group]
            rows.append(dict(
                name=name, count=len(group), metric=group[0].metric_name,
                last=mean(last), last_std=stdev(last),
                best=mean(best), best_std=stdev(best)))
    return rows


def class_rows(groups: dict[str, list[TrainingRun]],
               palette: dict[str, str]) -> list[dict[str, Any]]:
    """Per-class IoU at the last validation, averaged over seeds."""
    names = [name for name, group in groups.items()
             if all(run.class_iou for run in group)]
    if not names:
        return []
    rows = []
    for class_name in groups[names[0]][0].class_iou:
        iou = {name: mean(run.class_iou.get(class_name, math.nan)
                          for run in groups[name]) for name in names}
        rows.append(dict(name=class_name, colour=palette.get(class_name),
                         iou=iou))
    return rows


def write_report(runs: Sequence[TrainingRun], out: str | Path,
                 num_images: int = 6, title: str = 'Comparison') -> None:
    """Write the page.

    Args:
        runs (Sequence[TrainingRun]): What to compare; the first is what the
            others are measured against. Runs of one name are seeds of the
            same thing.
        out (str | Path): The HTML file.
        num_images (int): Pictures of the validation set; 0 for none, which
            needs neither data nor checkpoints. Defaults to 6.
        title (str): Headline. Defaults to 'Comparison'.
    """
    groups = group_runs(runs)
    cycle = plt.rcParams['axes.prop_cycle'].by_key()['color']
    colours = {name: to_hex(cycle[i % len(cycle)])
               for i, name in enumerate(groups)}
    segmenting = [run for run in runs if run.metric_name == 'mIoU']
    pictures: list[Picture] = []
    illustrations: dict[str, Illustration] = {}
    metainfo: dict[str, Any] = dict(classes=(), palette=())
    if num_images > 0:
        illustrations = make_illustrations(runs, num_images)
        # what a model illustrates itself is not made of classes
        predicting = [run for run in segmenting
                      if run.name not in illustrations]
        if predicting:
            pictures, metainfo = make_pictures(predicting, num_images)
    palette = {name: 'rgb({}, {}, {})'.format(*rgb) for name, rgb in
               zip(metainfo['classes'], metainfo['palette'], strict=True)}
    page = _template().render(
        title=title,
        colours=colours,
        runs=run_rows(runs),
        summary=summary_rows(runs),
        metrics=_metrics(runs, colours),
        training_plot=_embed_figure(plot_training(groups, colours)),
        names=list(groups),
        classes=class_rows(groups, palette),
        palette=palette,
        pictures=[_embed_picture(p, metainfo['palette']) for p in pictures],
        illustrations=[dict(
            name=name, notes=shown.notes, source=_embed_figure(
                draw_panels(shown.rows, shown.titles, scale=shown.scale),
                'PNG')) for name, shown in illustrations.items()])
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    Path(out).write_text(page, encoding='utf-8')


def _template() -> jinja2.Template:
    return jinja2.Environment(
        loader=jinja2.PackageLoader('mmseg_ssl.visualization'),
        autoescape=True, trim_blocks=True,
        lstrip_blocks=True).get_template('report.html')


def _metrics(runs: Sequence[TrainingRun],
             colours: dict[str, str]) -> list[Metric]:
    """The metrics of all runs, in the order of the runs."""
    by_metric: dict[str, list[TrainingRun]] = {}
    for run in runs:
        by_metric.setdefault(run.metric_name, []).append(run)
    return [Metric(name, None if name == LOSS else _embed_figure(
        plot_scores(group, colours))) for name, group in by_metric.items()]


def _embed_picture(picture: Picture,
                   palette: Sequence[Sequence[int]]) -> dict[str, Any]:
    """The columns of one row of pictures, as (caption, data URI)."""
    columns = [('image', _embed_image(picture.image, 'JPEG'))]
    if picture.truth is not None:
        columns.append(
            ('truth', _embed_image(colour(picture.truth, palette))))
    for name, labels in picture.predictions.items():
        columns.append((name, _embed_image(colour(labels, palette))))
    return dict(name=picture.name, columns=columns)


def _embed_image(pixels: np.ndarray, image_format: str = 'PNG') -> str:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, image_format)
    return _data_uri(buffer.getvalue(), MEDIA_TYPES[image_format])


def _embed_figure(figure: Figure | None,
                  image_format: str = 'SVG') -> str | None:
    if figure is None:
        return None
    buffer = io.BytesIO()
    figure.savefig(buffer, format=image_format.lower())
    plt.close(figure)
    return _data_uri(buffer.getvalue(), MEDIA_TYPES[image_format])


def _data_uri(content: bytes, media_type: str) -> str:
    return f'data:{media_type};base64,{base64.b64encode(content).decode()}'
