"""Cluster the features of a frozen encoder before each epoch."""
import logging
import random
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import islice
from typing import Protocol

import numpy as np
import torch
from mmengine.dist import get_rank, is_main_process
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper
from mmengine.runner import EpochBasedTrainLoop, Runner
from mmengine.utils import ProgressBar
from mmseg.registry import HOOKS
from torch import Tensor, nn

from mmseg_ssl.clustering import MiniBatchKMeans, StreamedKMeans
from mmseg_ssl.visualization.cluster_sizes import draw_cluster_sizes


class Clusterable(Protocol):
    """What :class:`OfflineClusteringHook` needs of a model."""

    data_preprocessor: nn.Module
    clustered_epoch: Tensor
    """Buffer: the epoch whose clusters the model holds, -1 at first."""

    def settle_norms(self, batches: Iterable[dict]) -> int:
        """Give norms without statistics those of some batches."""

    def freeze_snapshot(self) -> None:
        """Remember the encoder as it is now."""

    def view_features(self, inputs: Tensor, data_samples: list) -> list[
            Tensor]:
        """Features (B, D, h, w) of the snapshot, one tensor per view."""

    def clusterings(self) -> list[tuple[str, int, MiniBatchKMeans]]:
        """Name, view and clustering of everything to be clustered."""


@HOOKS.register_module()
class OfflineClusteringHook(Hook):
    """Freeze a snapshot of the encoder and cluster its pixels, every epoch.

    ``before_train_epoch`` runs once over the training images, with their
    augmentation. Each batch goes through the snapshot once per view, and its
    pixels through all K-means of the model (:class:`StreamedKMeans`), which
    live in buffers of the model. Batch norms of an encoder from scratch have
    no statistics yet that a snapshot could be evaluated with: before the first
    clustering, ``num_init_batches`` batches give them some. No feature and no
    label is written to disk, and memory is bounded by a batch and
    ``init_size`` points. During the epoch, the model labels pixels by its
    snapshot and these centroids.

    With several processes each one reads its share of the images, and all end
    with the same snapshot (running statistics of norms are averaged) and the
    same centroids.

    The model remembers for which epoch it was clustered. A run resumed within
    an epoch goes on with the clusters of the checkpoint, one resumed at the
    end of an epoch clusters anew, as the uninterrupted run would have. The
    random numbers of the pass depend on seed, epoch and rank, and leave
    those of the training untouched.

    Logged per clustering: ``<name>_largest``, the share of the largest
    cluster, and ``<name>_empty``, the number of empty ones; all sizes go into
    the text log and, as ``clusters.png``, into a histogram for all
    ``vis_backends`` (``vis_data/vis_image/clusters.png_*.png``).

    Args:
        num_init_batches (int): Batches of each process that give the centres
            to start from, and their statistics to new norms. Defaults to 20.
        init_size (int): Pixels drawn from these. Defaults to 131072.
        max_batches (int, optional): Batches of each process that are
            clustered, of a random order; 27 centres of 100,000 images do not
            need all of them. Defaults to None: all, as in the papers.
        draw (bool): Draw the histogram. Defaults to True.

    Raises:
        TypeError: The model cannot be clustered, or the training has no
            epochs.
        ValueError: Features are not finite or fewer than clusters.
    """

    priority = 'NORMAL'

    def __init__(self,
                 num_init_batches: int = 20,
                 init_size: int = 2**17,
                 max_batches: int | None = None,
                 draw: bool = True) -> None:
        self.num_init_batches = num_init_batches
        self.init_size = init_size
        self.max_batches = max_batches
        self.draw = draw

    def before_train(self, runner: Runner) -> None:
        """Refuse what would fail later; forget clusters of other runs."""
        if not isinstance(runner.train_loop, EpochBasedTrainLoop):
            raise TypeError(
                'OfflineClusteringHook clusters once per epoch: train_cfg.type'
                ' must be an epoch-based loop (ResumableEpochLoop), not '
                f'{type(runner.train_loop).__name__}')
        model = _unwrap(runner.model)
        if not hasattr(model, 'clusterings'):
            raise TypeError(
                f'OfflineClusteringHook cannot cluster {type(model).__name__}:'
                ' it needs a model with clusterings(), like PiCIE')
        if runner.iter == 0:
            # weights of load_from bring clusters of another encoder along
            model.clustered_epoch.fill_(-1)

    def before_train_epoch(self, runner: Runner) -> None:
        """Cluster, unless the checkpoint brought this epoch's clusters."""
        model = _unwrap(runner.model)
        if int(model.clustered_epoch) == runner.epoch:
            runner.logger.info(
                f'Epoch {runner.epoch + 1} goes on with the clusters of the '
                'checkpoint')
            return
        with _own_random_numbers((runner.seed, runner.epoch, get_rank())):
            self.settle_norms(runner)
            model.freeze_snapshot()
            self._cluster(model, runner)
        model.clustered_epoch.fill_(runner.epoch)
        self._report(model, runner)

    def settle_norms(self, runner: Runner) -> None:
        """Let new norms of the encoder see the first batches."""
        model = _unwrap(runner.model)
        num = model.settle_norms(
            _batches(model, runner, self.num_init_batches))
        if num:
            runner.logger.info(
                f'{num} batch norms of the encoder were new: their running '
                'statistics are now those of the first batches')

    @torch.no_grad()
    def _cluster(self, model: Clusterable, runner: Runner) -> None:
        """Run once over the training images."""
        dataloader = runner.train_loop.dataloader
        generator = torch.Generator().manual_seed(torch.initial_seed())
        streams = [
            (name, view, StreamedKMeans(kmeans, self.num_init_batches,
                                        self.init_size, generator))
            for name, view, kmeans in model.clusterings()]
        num_batches = min(len(dataloader), self.max_batches or len(dataloader))
        bar = ProgressBar(num_batches) if is_main_process() else None
        for data in _batches(model, runner, num_batches):
            with _precision_of_training(runner):
                features = model.view_features(**data)
            rows = [x.permute(0, 2, 3, 1).flatten(0, 2) for x in features]
            for name, view, stream in streams:
                with _explained(name, runner):
                    stream.update(rows[view])
            if bar is not None:
                bar.update()
        for name, _, stream in streams:
            with _explained(name, runner):
                stream.finish()
        if bar is not None:
            bar.file.write('\n')

    def _report(self, model: Clusterable, runner: Runner) -> None:
        """Log and draw how large the clusters are."""
        sizes = {name: kmeans.counts.cpu()
                 for name, _, kmeans in model.clusterings()}
        for name, counts in sizes.items():
            largest = (counts.max() / counts.sum()).item()
            num_empty = int((counts == 0).sum())
            runner.message_hub.update_scalar(f'train/{name}_largest', largest)
            runner.message_hub.update_scalar(f'train/{name}_empty', num_empty)
            runner.logger.info(
                f'Clusters of {name} before epoch {runner.epoch + 1}: '
                f'{counts.tolist()} pixels')
            if num_empty:
                runner.logger.log(
                    logging.WARNING,
                    f'{num_empty} of {len(counts)} clusters of {name} are '
                    'empty: their centres stay where they were')
        if self.draw and is_main_process():
            runner.visualizer.add_image(
                'clusters.png', draw_cluster_sizes(sizes),
                step=runner.iter)


def _batches(model: Clusterable, runner: Runner,
             num_batches: int) -> Iterator[dict]:
    """The first batches of an epoch, as the model receives them."""
    for batch in islice(runner.train_loop.dataloader, num_batches):
        yield model.data_preprocessor(batch, training=True)


def _unwrap(model: nn.Module) -> nn.Module:
    return model.module if is_model_wrapper(model) else model


def _precision_of_training(runner: Runner) -> AbstractContextManager:
    """Autocast as the training does, which labels by the clusters."""
    wrapper = getattr(runner, 'optim_wrapper', None)
    if isinstance(wrapper, OptimWrapper):
        return wrapper.optim_context(runner.model)
    return nullcontext()  # nothing is trained


@contextmanager
def _explained(name: str, runner: Runner) -> Iterator[None]:
    """Say in errors of K-means whose features they are about."""
    try:
        yield
    except ValueError as error:
        raise ValueError(
            f'the features of {name} cannot be clustered before epoch '
            f'{runner.epoch + 1}: {error}') from error


@contextmanager
def _own_random_numbers(seed: tuple[int, ...]) -> Iterator[None]:
    """Seed all generators, and give them back as they were."""
    states = random.getstate(), np.random.get_state()
    words = np.random.SeedSequence(seed).generate_state(3)
    with torch.random.fork_rng():
        random.seed(int(words[0]))
        np.random.seed(int(words[1]))
        torch.manual_seed(int(words[2]))
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])
