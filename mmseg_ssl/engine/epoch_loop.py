"""Epochs that can be left and taken up again in the middle."""
from collections.abc import Iterator
from itertools import islice

from mmengine.dataset import DefaultSampler
from mmengine.runner import EpochBasedTrainLoop
from mmseg.registry import DATA_SAMPLERS, LOOPS


@DATA_SAMPLERS.register_module()
class ResumableSampler(DefaultSampler):
    """A ``DefaultSampler`` whose next pass can leave out its beginning.

    Attributes:
        skip (int): Samples of this process that the next pass leaves out;
            back at 0 when the pass begins.
    """

    skip = 0

    def __iter__(self) -> Iterator[int]:
        """Iterate over the indices of this process."""
        skip, self.skip = self.skip, 0
        return islice(super().__iter__(), skip, None)


@LOOPS.register_module()
class ResumableEpochLoop(EpochBasedTrainLoop):
    """Train by epochs; ``--resume`` goes on within an epoch.

    mmengine's loop starts the epoch again when a run is resumed from a
    checkpoint that was written within it. This one goes on with the next
    batch, without loading those before it. Arguments are those of
    ``EpochBasedTrainLoop``; the sampler must be a :class:`ResumableSampler`.
    """

    def run_epoch(self) -> None:
        """Iterate over what is left of the epoch."""
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        done = self._iter - self._epoch * len(self.dataloader)
        if done:
            self._skip(done)
        for idx, data_batch in enumerate(self.dataloader, start=done):
            self.run_iter(idx, data_batch)
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1

    def _skip(self, num_batches: int) -> None:
        """Let the next pass over the data leave out some batches."""
        length = len(self.dataloader)
        if not 0 < num_batches <= length:
            raise ValueError(
                f'iteration {self._iter} is not in epoch {self._epoch + 1} of '
                f'{length} iterations: resume with the batch size, the number '
                'of processes and the images of the run before')
        sampler = self.dataloader.sampler
        if not isinstance(sampler, ResumableSampler):
            raise TypeError(
                'to resume within an epoch, train_dataloader.sampler.type '
                f'must be ResumableSampler, not {type(sampler).__name__}')
        sampler.skip = num_batches * self.dataloader.batch_size


@LOOPS.register_module()
class ClusteringLoop(EpochBasedTrainLoop):
    """Epochs without training steps: hooks run, then the validation.

    For models that are clustered and not trained: K-means on pixels or on
    frozen features.
    """

    def run_epoch(self) -> None:
        """Let the hooks do what they do before and after an epoch."""
        self.runner.call_hook('before_train_epoch')
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1
