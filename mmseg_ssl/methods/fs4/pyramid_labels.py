"""Global labels for images and their parts (FS4's PGG, section 4.2.1).

A stage before the training, in steps that can be repeated: features of all
views, in files of some images each; then centres, labels and their selection.
"""
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mmcv
import mmengine.fileio as fileio
import numpy as np
import torch
import torch.nn.functional as F
from mmengine.dataset import BaseDataset
from mmengine.dist import (
    all_gather_object,
    barrier,
    broadcast_object_list,
    get_dist_info,
    is_main_process,
)
from mmengine.logging import print_log
from mmengine.model import BaseModule
from mmengine.runner import CheckpointLoader
from mmengine.utils import ProgressBar
from mmpretrain.models.necks import SwAVNeck
from mmseg.registry import MODELS
from mmseg.utils import ConfigType, OptConfigType
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from mmseg_ssl.clustering import MiniBatchKMeans
from mmseg_ssl.engine.hooks.preflight_hook import check_pretrained
from mmseg_ssl.methods.fs4.pyramid_view import (
    VIEW_NAMES,
    PyramidLabels,
    crop_view,
)

MANIFEST = 'manifest.json'
LABEL_FILE = 'labels.npz'
# Raise it when the same settings would give other features.
VERSION = 1


@MODELS.register_module()
class PooledFeatures(BaseModule):
    """One feature vector of length 1 per image, of a pre-trained network.

    Args:
        backbone (dict): Config of the backbone, with its ``init_cfg``.
        neck (dict, optional): Config of the projector, which pools itself
            (``mmpretrain.MoCoV2Neck``, ``mmpretrain.SwAVNeck``): its output
            is taken, as in the paper's appendix. Without it, the last map of
            the backbone is averaged, as in its section 4.2.
        mean (Sequence[float]): Of the images, RGB.
        std (Sequence[float]): Of the images, RGB.
        init_cfg (dict, optional): Initialisation.
    """

    def __init__(self,
                 backbone: ConfigType,
                 neck: OptConfigType = None,
                 mean: tuple[float, ...] = (123.675, 116.28, 103.53),
                 std: tuple[float, ...] = (58.395, 57.12, 57.375),
                 init_cfg: OptConfigType = None) -> None:
        super().__init__(init_cfg)
        self.backbone = MODELS.build(backbone)
        self.neck = MODELS.build(neck) if neck is not None else None
        shape = (1, 3, 1, 1)
        self.register_buffer('mean', torch.tensor(mean).view(shape))
        self.register_buffer('std', torch.tensor(std).view(shape))

    def forward(self, images: Tensor) -> Tensor:
        """RGB images (B, 3, H, W) in 0..255 -> features (B, D)."""
        features = self.backbone((images.float() - self.mean) / self.std)
        if self.neck is None:
            pooled = features[-1].mean((2, 3))
        elif isinstance(self.neck, SwAVNeck):  # maps of each size of crops
            pooled = self.neck([features[-1:]])
        else:
            pooled = self.neck(features[-1:])[-1]
        return F.normalize(pooled.flatten(1))


def build_network(cfg: ConfigType) -> PooledFeatures:
    """Build with initial weights, the same ones each time.

    Args:
        cfg (dict): Config of a :class:`PooledFeatures`.

    Raises:
        FileNotFoundError: There are no weights where it starts from.
    """
    with torch.random.fork_rng():
        torch.manual_seed(0)  # of what no checkpoint is given for
        network = MODELS.build(cfg)
        check_pretrained(network, 'pyramid_labels.network')
        network.init_weights()
    return network


class PyramidViews(Dataset):
    """All views of some images of a data set, (6, 3, crop, crop), uint8 RGB.

    Args:
        dataset (BaseDataset): Names the images; its pipeline is not used.
        indices (range): Which of them.
        resize (int): Shorter side of a view, in pixels.
        crop (int): Side of the square cut out of its middle.
    """

    def __init__(self, dataset: BaseDataset, indices: range, resize: int,
                 crop: int) -> None:
        if crop > resize:
            raise ValueError(f'a crop of {crop} pixels does not fit into views'
                             f' of resize={resize}: crop must not be larger')
        self.dataset = dataset
        self.indices = indices
        self.resize = resize
        self.crop = crop

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, item: int) -> Tensor:
        path = self.dataset.get_data_info(self.indices[item])['img_path']
        content = fileio.get(path, backend_args=self.dataset.backend_args)
        try:
            image = mmcv.imfrombytes(content, channel_order='rgb')
        except Exception as error:  # each decoder raises its own kinds
            raise ValueError(
                f'{path} cannot be read as an image: {error}') from error
        views = [self._prepare(crop_view(image, view))
                 for view in range(len(VIEW_NAMES))]
        return torch.from_numpy(np.stack(views)).permute(0, 3, 1, 2)

    def _prepare(self, view: np.ndarray) -> np.ndarray:
        """Resize a view, and cut out its middle."""
        height, width = view.shape[:2]
        scale = self.resize / min(height, width)
        size = [max(self.crop, round(side * scale))
                for side in (width, height)]
        view = mmcv.imresize(view, tuple(size))
        left, top = (side // 2 - self.crop // 2 for side in size)
        return view[top:top + self.crop, left:left + self.crop]


class FeatureCache:
    """Features of all views of a data set, in files of some images each.

    Files that are there are not made again, so a stage that was ended may be
    started again. With several processes, each makes its share; they must
    see the same folder.

    Args:
        folder (str | Path): Where the files are.
        network (PooledFeatures): With its weights.
        dataset (BaseDataset): Names the images.
        resize (int): See :class:`PyramidViews`. Defaults to 256.
        crop (int): See :class:`PyramidViews`. Defaults to 224.
        shard_size (int): Images of a file, which is what a stage that was
            ended loses at most. Defaults to 128.

    Raises:
        ValueError: The folder holds features of another network, of other
            images, or made with other settings.
    """

    def __init__(self,
                 folder: str | Path,
                 network: PooledFeatures,
                 dataset: BaseDataset,
                 resize: int = 256,
                 crop: int = 224,
                 shard_size: int = 128) -> None:
        self.folder = Path(folder)
        self.network = network
        self.dataset = dataset
        self.resize = resize
        self.crop = crop
        self.shard_size = shard_size
        self.manifest = dict(
            network=hash_of_weights(network), images=hash_of_images(dataset),
            resize=resize, crop=crop, shard_size=shard_size, version=VERSION)
        problem = [self._claim() if is_main_process() else None]
        broadcast_object_list(problem)
        if problem[0] is not None:
            raise ValueError(problem[0])

    def _claim(self) -> str | None:
        """Say what is wrong with the folder; write the manifest if new."""
        path = self.folder / MANIFEST
        if not path.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            _replace(path, json.dumps(self.manifest, indent=2).encode())
            return None
        found = json.loads(path.read_text())
        wrong = [f'{key} is {found.get(key)} there and {value} here'
                 for key, value in self.manifest.items()
                 if found.get(key) != value]
        if not wrong:
            return None
        return (f'{self.folder} holds features of another kind: '
                f'{"; ".join(wrong)}. They were not touched: choose another '
                'folder, or delete this one')

    def shards(self) -> list[tuple[Path, range]]:
        """Files of this process, and the images in them.

        In the order of the data set from process to process, so that K-means
        starts as it does in one.
        """
        rank, world_size = get_dist_info()
        total = len(self.dataset)
        shards = [
            (self.folder / f'features_{start:09d}.pth',
             range(start, min(start + self.shard_size, total)))
            for start in range(0, total, self.shard_size)
        ]
        return shards[rank * len(shards) // world_size:
                      (rank + 1) * len(shards) // world_size]

    @torch.no_grad()
    def fill(self, batch_size: int = 32, num_workers: int = 2) -> None:
        """Make the files of this process that are missing.

        Args:
            batch_size (int): Images a batch, with 6 views each.
            num_workers (int): Processes that load them.
        """
        missing = [shard for shard in self.shards() if not shard[0].exists()]
        total = sum(len(indices) for _, indices in missing)
        bar = ProgressBar(total) if total and is_main_process() else None
        device = next(self.network.parameters()).device
        self.network.eval()
        for path, indices in missing:
            views = PyramidViews(self.dataset, indices, self.resize,
                                 self.crop)
            features = []
            for batch in DataLoader(views, batch_size,
                                    num_workers=num_workers):
                rows = self.network(batch.flatten(0, 1).to(device))
                features.append(
                    rows.unflatten(0, (-1, len(VIEW_NAMES))).half().cpu())
                if bar is not None:
                    bar.update(len(batch))
            partial = path.with_suffix('.partial')
            torch.save(torch.cat(features), partial)
            os.replace(partial, path)
        if bar is not None:
            bar.file.write('\n')
        barrier()

    def read(self, views: slice = slice(None)) -> Iterator[Tensor]:
        """Features of this process, a file at a time, (n, views, D)."""
        for path, _ in self.shards():
            yield torch.load(path, mmap=True)[:, views]


class _WholeImages:
    """Features of whole images, which K-means reads again and again."""

    def __init__(self, cache: FeatureCache) -> None:
        self.cache = cache

    def __iter__(self) -> Iterator[Tensor]:
        for features in self.cache.read(slice(0, 1)):
            yield features.flatten(0, 1).float()


def hash_of_weights(network: torch.nn.Module) -> str:
    """Digest of names and values of all parameters and buffers."""
    digest = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        digest.update(f'{name}{tuple(value.shape)}{value.dtype}'.encode())
        digest.update(value.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def hash_of_images(dataset: BaseDataset) -> str:
    """Digest of names and sizes of all image files, in their order."""
    digest = hashlib.sha256()
    for index in range(len(dataset)):
        path = dataset.get_data_info(index)['img_path']
        size = os.path.getsize(path) if os.path.exists(path) else -1
        digest.update(f'{os.path.basename(path)}:{size};'.encode())
    return digest.hexdigest()[:16]


def find_centres(cache: FeatureCache, num_clusters: int,
                 seed: int = 0) -> Tensor:
    """Cluster the features of whole images by K-means.

    Returns:
        Tensor: Centres of length 1, shape (num_clusters, D).

    Raises:
        ValueError: There are fewer images than clusters.
    """
    dim = next(iter(cache.read())).size(2) if cache.shards() else 0
    dim = max(all_gather_object(dim))
    kmeans = MiniBatchKMeans(num_clusters, dim)
    generator = torch.Generator().manual_seed(seed)
    return kmeans.fit(_WholeImages(cache), generator, True).centroids


def centres_of_checkpoint(path: str, key: str,
                          num_clusters: int | None = None,
                          seed: int = 0) -> Tensor:
    """Take centres from a checkpoint instead of K-means.

    Args:
        path (str): Anything mmengine loads.
        key (str): Name of a tensor (n, D): the prototypes of SwAV, or the
            classifier layer of a supervised network.
        num_clusters (int, optional): Group them into so many clusters, as
            the paper does with prototypes. Defaults to None: each is one.
        seed (int): Of the grouping.

    Returns:
        Tensor: Centres of length 1, shape (num_clusters or n, D).

    Raises:
        KeyError: There is no such tensor.
    """
    checkpoint = CheckpointLoader.load_checkpoint(path, map_location='cpu')
    state = checkpoint.get('state_dict', checkpoint)
    if key not in state:
        near = [name for name, value in state.items()
                if isinstance(value, Tensor) and value.ndim == 2]
        raise KeyError(f'{path} has no {key!r}; its matrices are {near}')
    rows = F.normalize(state[key].float())
    if num_clusters is None:
        return rows
    generator = torch.Generator().manual_seed(seed)
    kmeans = MiniBatchKMeans(num_clusters, rows.size(1))
    # each process has the same rows: one copy is enough
    return kmeans.fit(rows if is_main_process() else rows[:0],
                      generator).centroids


def label_views(cache: FeatureCache, centres: Tensor,
                keep: float = 0.4) -> PyramidLabels:
    """Label all views by their nearest centre and select the surest.

    Args:
        cache (FeatureCache): Filled.
        centres (Tensor): Shape (K, D).
        keep (float): Share of all views that is selected: those nearest to
            their centres ("active selection"). Defaults to 0.4.

    Returns:
        PyramidLabels: In the order of the data set, in all processes.

    Raises:
        ValueError: Centres and features have different dimensions.
    """
    if not 0 < keep <= 1:
        raise ValueError(f'keep must be a share in (0, 1], not {keep}')
    kmeans = MiniBatchKMeans(*centres.shape, init=centres)
    parts: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    for (_, indices), features in zip(cache.shards(), cache.read()):
        if features.size(2) != centres.size(1):
            raise ValueError(
                f'the centres have {centres.size(1)} dimensions and the '
                f'features {features.size(2)}: prototypes need the features '
                'of their projector (neck), classifier layers those of the '
                'backbone')
        labels, similarity = kmeans.assign(features.flatten(0, 1).float())
        shape = features.shape[:2]
        parts[indices.start] = (labels.view(shape).int().numpy(),
                                similarity.view(shape).numpy())
    everything = {start: part for rank in all_gather_object(parts)
                  for start, part in rank.items()}
    labels, similarity = (
        np.concatenate([everything[start][i] for start in sorted(everything)])
        for i in (0, 1))
    order = np.argsort(-similarity, axis=None, kind='stable')
    selected = np.zeros(similarity.size, dtype=bool)
    selected[order[:round(keep * similarity.size)]] = True
    names = [os.path.basename(cache.dataset.get_data_info(i)['img_path'])
             for i in range(len(cache.dataset))]
    return PyramidLabels(
        np.array(names), labels, similarity, selected.reshape(labels.shape),
        centres.numpy(), {**cache.manifest, 'keep': keep})


def make_pyramid_labels(network: PooledFeatures,
                        dataset: BaseDataset,
                        out_dir: str,
                        num_clusters: int | None = 50,
                        centres: dict[str, str] | None = None,
                        keep: float = 0.4,
                        seed: int = 0,
                        batch_size: int = 32,
                        num_workers: int = 2,
                        feature_dir: str | None = None,
                        **cache_options: Any) -> PyramidLabels:
    """Do all steps; see the functions of each for the arguments.

    Args:
        network (PooledFeatures): With its weights, on its device.
        dataset (BaseDataset): Names the images.
        out_dir (str): Gets ``features/`` and ``labels.npz``.
        num_clusters (int, optional): Defaults to 50.
        centres (dict, optional): Arguments ``path`` and ``key`` of
            :func:`centres_of_checkpoint`. Defaults to None: K-means.
        keep (float): Share of the views that is selected.
        seed (int): Of the clustering.
        batch_size (int): Images of a batch.
        num_workers (int): Processes that load images.
        feature_dir (str, optional): Where the features are, or go, if they
            serve several numbers of clusters. Defaults to ``features/`` in
            ``out_dir``.
        **cache_options: Of :class:`FeatureCache`.

    Returns:
        PyramidLabels: As written.
    """
    cache = FeatureCache(
        feature_dir or Path(out_dir) / 'features', network, dataset,
        **cache_options)
    cache.fill(batch_size, num_workers)
    if centres is None:
        found = find_centres(cache, num_clusters, seed)
    else:
        found = centres_of_checkpoint(
            **centres, num_clusters=num_clusters, seed=seed)
    labels = label_views(cache, found, keep)
    if is_main_process():
        path = Path(out_dir) / LABEL_FILE
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix('.partial')
        labels.save(str(partial))
        os.replace(partial, path)
        sizes = np.bincount(labels.labels[:, 0], minlength=len(found))
        print_log(
            f'{path}: {len(labels.names)} images, {len(found)} clusters of '
            f'{sizes.min()} to {sizes.max()} images, '
            f'{int(labels.selected.sum())} of {labels.selected.size} views '
            'selected', logger='current')
    barrier()
    return labels


def _replace(path: Path, content: bytes) -> None:
    """Write a file such that an interruption leaves no half of it."""
    partial = path.with_suffix('.partial')
    partial.write_bytes(content)
    os.replace(partial, path)
