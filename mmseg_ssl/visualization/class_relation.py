"""How alike classes look to a network: relation graph and dendrogram.

Section 5 of `Bootstrapping Semantic Segmentation with Regional Contrast
<https://arxiv.org/abs/2104.04465>`_: the cosine similarities of the mean
embeddings of all classes over a data set (Eq. 3), once of the features that
enter the classifier and, where there is one, once of the ReCo embedding.
"""
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from mmengine.dist import all_reduce, get_rank, get_world_size
from mmengine.model import BaseModel
from scipy.cluster.hierarchy import dendrogram, linkage
from scipy.spatial.distance import squareform
from torch import Tensor, nn

from mmseg_ssl.conventions import IGNORE_INDEX

FEATURES = 'features'  # that enter the classifier
EMBEDDING = 'embedding'  # of the representation head
# inches
CELL = 0.24
MIN_SIDE = 2.2
NAME_SPACE = 1.3
TREE_WIDTH = 1.6
TITLE_SPACE = 0.45
BAR_WIDTH = 0.12
# points
LARGE = 10
SMALL = 7
DPI = 150


class ClassMeans:
    """Running mean of the embeddings of each class, in float64.

    Args:
        num_classes (int): C.
    """

    def __init__(self, num_classes: int) -> None:
        self.num_classes = num_classes
        self.sums: Tensor | None = None  # (C, D)
        self.counts = torch.zeros(num_classes, dtype=torch.int64)

    def add(self, embedding: Tensor, labels: Tensor) -> None:
        """Add the pixels of a batch.

        Args:
            embedding (Tensor): Shape (B, D, h, w).
            labels (Tensor): Shape (B, H, W), int64, 255 = void; the pixel
                nearest to the centre of each cell of the embedding counts.

        Raises:
            ValueError: A label is neither 255 nor below C.
        """
        picked = F.interpolate(
            labels.unsqueeze(1).float(), size=embedding.shape[2:],
            mode='nearest-exact').long().flatten()
        known = picked != IGNORE_INDEX
        picked = picked[known]
        if picked.numel() and not 0 <= picked.min() <= picked.max() < (
                self.num_classes):
            raise ValueError(
                f'labels hold {picked.max().item()}, but there are '
                f'{self.num_classes} classes')
        pixels = embedding.permute(0, 2, 3, 1).flatten(0, 2)[known]
        pixels = pixels.cpu().double()  # some devices have no float64
        sums = pixels.new_zeros(self.num_classes, pixels.size(1))
        sums.index_add_(0, picked.cpu(), pixels)
        self.sums = sums if self.sums is None else self.sums + sums
        self.counts += picked.bincount(minlength=self.num_classes).cpu()

    def synchronize(self) -> None:
        """Add up what the distributed processes have gathered."""
        if self.sums is not None:
            all_reduce(self.sums)
            all_reduce(self.counts)

    def means(self) -> np.ndarray:
        """Mean embeddings (C, D), NaN for a class without a pixel."""
        if self.sums is None:
            raise ValueError('no batch was added')
        return (self.sums / self.counts.unsqueeze(1)).numpy()


@dataclass
class ClassRelation:
    """Cosine similarities of the classes that have pixels.

    Attributes:
        classes (list[str]): Names of P classes.
        absent (list[str]): Names of the classes without a pixel.
        pixels (list[int]): Cells of each of the P classes.
        graph (np.ndarray): Shape (P, P), in [-1, 1].
    """

    classes: list[str]
    absent: list[str]
    pixels: list[int]
    graph: np.ndarray

    @classmethod
    def from_means(cls, means: ClassMeans,
                   classes: Sequence[str]) -> 'ClassRelation':
        """Relate class means (Eq. 3).

        Raises:
            ValueError: Fewer than two classes have pixels.
        """
        present = (means.counts > 0).tolist()
        if sum(present) < 2:
            raise ValueError(
                f'only {sum(present)} of {len(classes)} classes have labelled '
                'pixels; relations need two')
        vectors = means.means()[present]
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors = vectors / np.maximum(norms, 1e-12)
        return cls(
            [name for name, here in zip(classes, present) if here],
            [name for name, here in zip(classes, present) if not here],
            means.counts[means.counts > 0].tolist(),
            (vectors @ vectors.T).clip(-1, 1))

    def tree(self) -> np.ndarray:
        """SciPy's linkage matrix by average cosine distance, (P - 1, 4)."""
        distance = 1 - self.graph
        np.fill_diagonal(distance, 0)
        return linkage(
            squareform(distance, checks=False), 'average',
            optimal_ordering=True)

    def closest_pairs(self, num: int) -> list[tuple[str, str, float]]:
        """The pairs that are most likely confused, most alike first."""
        rows, columns = np.triu_indices(len(self.classes), 1)
        values = self.graph[rows, columns]
        order = (-values).argsort(kind='stable')[:num]
        return [(self.classes[rows[i]], self.classes[columns[i]],
                 float(values[i])) for i in order]

    def mean_similarity(self) -> float:
        """Mean over all pairs; lower means better disentangled."""
        rows, columns = np.triu_indices(len(self.classes), 1)
        return float(self.graph[rows, columns].mean())

    def as_dict(self, num_pairs: int) -> dict[str, Any]:
        """What a JSON file should hold of it."""
        return dict(
            classes=self.classes,
            absent=self.absent,
            pixels=self.pixels,
            graph=self.graph.tolist(),
            linkage=self.tree().tolist(),
            mean_similarity=self.mean_similarity(),
            closest_pairs=[
                dict(classes=[a, b], similarity=value)
                for a, b, value in self.closest_pairs(num_pairs)])


# ------------------------------ embeddings -------------------------------


@torch.no_grad()
def embed(model: BaseModel, images: Tensor) -> dict[str, Tensor]:
    """Embeddings of images in the network that predicts.

    Args:
        model (BaseModel): A segmentor, or a method that has one as
            ``predictor``; its head classifies with ``conv_seg``.
        images (Tensor): Normalised, shape (B, 3, H, W).

    Returns:
        dict[str, Tensor]: ``'features'``, and ``'embedding'`` if the head has
        a representation head (``projector``); each (B, D, h, w).

    Raises:
        ValueError: The head does not classify with ``conv_seg``.
    """
    predictor = getattr(model, 'predictor', model)
    head = predictor.decode_head
    classifier = getattr(getattr(head, 'head', head), 'conv_seg', None)
    if not isinstance(classifier, nn.Module):
        raise ValueError(
            f'{type(head).__name__} does not classify with conv_seg, so the '
            'features that enter its classifier are not known')
    found: dict[str, Tensor] = {}
    handles = [classifier.register_forward_pre_hook(
        lambda _, args: found.__setitem__(FEATURES, args[0]))]
    if isinstance(getattr(head, 'projector', None), nn.Module):
        handles.append(head.projector.register_forward_hook(
            lambda _, args, out: found.__setitem__(EMBEDDING, out)))
    try:
        head(predictor.extract_feat(images))
    finally:
        for handle in handles:
            handle.remove()
    return found


def relate_classes(model: BaseModel, batches: Iterable[dict],
                   classes: Sequence[str],
                   num_images: int | None = None) -> dict[str, ClassRelation]:
    """Class relations over a data set, with a memory of one batch.

    Distributed processes add up what each saw of its batches, which a
    ``DefaultSampler`` has dealt in turns.

    Args:
        model (BaseModel): Is put into evaluation mode.
        batches (Iterable[dict]): From a data loader, with ``gt_sem_seg``.
        classes (Sequence[str]): Names, in the order of their ids.
        num_images (int, optional): Of the data set; what the sampler repeats
            beyond it, for equally many in all processes, does not count.
            Defaults to None: all count.

    Returns:
        dict[str, ClassRelation]: By kind of embedding, see :func:`embed`.

    Raises:
        ValueError: There is no batch, a sample has no label map, or fewer
            than two classes have pixels.
    """
    model.eval()
    means: dict[str, ClassMeans] = {}
    place = get_rank()
    for batch in batches:
        batch = model.data_preprocessor(batch, training=False)
        for image, sample in zip(batch['inputs'], batch['data_samples']):
            if 'gt_sem_seg' not in sample:
                raise ValueError(
                    f'image {sample.get("img_path", "")} has no label map: '
                    'class relations need one for every image')
            labels = sample.gt_sem_seg.data.long()
            if num_images is not None and place >= num_images:
                labels = torch.full_like(labels, IGNORE_INDEX)
            place += get_world_size()
            for kind, embedding in embed(model, image[None]).items():
                means.setdefault(kind, ClassMeans(len(classes))).add(
                    embedding, labels.to(embedding.device))
    if not means:
        raise ValueError('the data loader gave no batch')
    for kind in sorted(means):
        means[kind].synchronize()
    return {kind: ClassRelation.from_means(means[kind], classes)
            for kind in (FEATURES, EMBEDDING) if kind in means}


# -------------------------------- output ---------------------------------


def write_json(relations: dict[str, dict[str, ClassRelation]], out: Path,
               num_pairs: int = 10) -> None:
    """Write the numbers of several models, by name and kind."""
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps({
        name: {kind: relation.as_dict(num_pairs)
               for kind, relation in kinds.items()}
        for name, kinds in relations.items()}, indent=1) + '\n')


def plot_relations(
        relations: dict[str, dict[str, ClassRelation]]) -> Figure:
    """Draw graph and dendrogram of each model and embedding side by side.

    Each model is a row, each kind of embedding a heat map in the order of the
    classes and, on its right, a dendrogram.

    Args:
        relations (dict[str, dict[str, ClassRelation]]): By name of the model
            and kind of embedding.
    """
    kinds = [kind for kind in (FEATURES, EMBEDDING)
             if any(kind in row for row in relations.values())]
    side = max(MIN_SIDE, CELL * max(
        len(r.classes) for row in relations.values() for r in row.values()))
    panel = NAME_SPACE + side + BAR_WIDTH + NAME_SPACE + TREE_WIDTH
    high = TITLE_SPACE + side + NAME_SPACE
    width, height = len(kinds) * panel + 0.3, len(relations) * high + 0.2
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)

    def axes_at(left: float, top: float, wide: float, tall: float) -> Axes:
        """Axes at a place in inches from the upper left corner."""
        return figure.add_axes((left / width, 1 - (top + tall) / height,
                                wide / width, tall / height))

    for i, (name, row) in enumerate(relations.items()):
        for j, kind in enumerate(kinds):
            if kind not in row:
                continue
            left, top = j * panel + NAME_SPACE, i * high + TITLE_SPACE
            heat = axes_at(left, top, side, side)
            bar = axes_at(left + side + 0.06, top, BAR_WIDTH, side)
            _draw_graph(heat, bar, row[kind], f'{name}: {kind}')
            tree = axes_at(left + side + BAR_WIDTH + 0.6, top, TREE_WIDTH,
                           side)
            _draw_tree(tree, row[kind])
    return figure


def save_figure(figure: Figure, out: Path) -> None:
    """Write a figure as PNG; its folder is made."""
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=DPI)


def _draw_graph(axes: Axes, bar: Axes, relation: ClassRelation,
                title: str) -> None:
    places = range(len(relation.classes))
    # One scale for all pictures, so that they can be compared.
    painted = axes.imshow(relation.graph, vmin=-1, vmax=1, cmap='RdBu_r')
    axes.set_xticks(places, relation.classes, rotation=90, fontsize=SMALL)
    axes.set_yticks(places, relation.classes, fontsize=SMALL)
    axes.set_title(f'{title} (mean {relation.mean_similarity():.2f})',
                   fontsize=LARGE)
    axes.figure.colorbar(painted, cax=bar)
    bar.tick_params(labelsize=SMALL)


def _draw_tree(axes: Axes, relation: ClassRelation) -> None:
    dendrogram(
        relation.tree(), labels=relation.classes, orientation='left', ax=axes,
        leaf_font_size=SMALL, color_threshold=0,
        above_threshold_color='black')
    axes.tick_params(labelsize=SMALL)
    axes.locator_params(axis='x', nbins=4)
    axes.set_xlabel('cosine distance', fontsize=SMALL)
    axes.spines[['top', 'left', 'right']].set_visible(False)
