"""The check that global labels and pre-trained weights belong together."""
from collections.abc import Iterator

from mmengine.dataset import BaseDataset
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import HOOKS

from mmseg_ssl.engine.hooks.preflight_hook import RefusedRun
from mmseg_ssl.methods.fs4.pyramid_labels import build_network, hash_of_weights
from mmseg_ssl.methods.fs4.pyramid_view import (
    PyramidLabels,
    RandomPyramidView,
)


@HOOKS.register_module()
class PyramidLabelsHook(Hook):
    """Refuse to train with labels that other weights have made.

    Builds ``pyramid_labels.network`` of the config with its weights, and
    compares their digest with the one in each label file that the pipeline
    reads: labels are made once, while what they were made with may have been
    trained anew. An ablation without :class:`RandomPyramidView` has nothing
    to compare.

    Raises:
        ValueError: Digests differ, or the config has no ``pyramid_labels``.
        FileNotFoundError: There are no labels.
    """

    def before_train(self, runner: Runner) -> None:
        """Compare, before anything is clustered."""
        files = list(_label_files(runner.train_loop.dataloader.dataset))
        if not files:
            return
        if 'pyramid_labels' not in runner.cfg:
            raise RefusedRun(
                'PyramidLabelsHook compares labels with the network of '
                'pyramid_labels in the config, which has none: add it, or '
                'leave the hook out of custom_hooks')
        here = hash_of_weights(build_network(
            runner.cfg.pyramid_labels.network))
        for path in files:
            there = PyramidLabels.load(path).manifest.get('network')
            if there != here:
                raise RefusedRun(
                    f'{path} was made with other weights (digest {there}) '
                    f'than those of pyramid_labels.network ({here}), which '
                    'may have been trained anew since: delete the folder, '
                    'with the features in it, and run '
                    'tools/dataset_tools/make_pyramid_labels.py with this '
                    'config again')


def _label_files(dataset: BaseDataset) -> Iterator[str]:
    """Files that a data set reads global labels from."""
    for transform in dataset.pipeline.transforms:
        if isinstance(transform, RandomPyramidView):
            yield transform.label_file
