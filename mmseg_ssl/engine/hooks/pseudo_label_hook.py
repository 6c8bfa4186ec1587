"""Watch during training what the teacher says about unlabelled images."""
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from mmseg.registry import HOOKS
from torch import nn

from mmseg_ssl.visualization.panels import (
    Panel,
    class_swatches,
    confidence_panel,
    denormalize,
    draw_panels,
    label_panel,
)

TITLES = ('unlabelled image', "teacher's labels", "teacher's confidence")


@contextmanager
def undisturbed(module: nn.Module) -> Iterator[None]:
    """Compute with a module and leave no trace of it.

    Random numbers and buffers (batch norm in training mode moves its
    statistics) are put back.
    """
    buffers = {name: buffer.clone() for name, buffer in
               module.named_buffers()}
    devices = ([torch.cuda.current_device()] if torch.cuda.is_available()
               else ())
    try:
        with torch.no_grad(), torch.random.fork_rng(devices):
            yield
    finally:
        for name, buffer in module.named_buffers():
            buffer.copy_(buffers[name])


@HOOKS.register_module()
class PseudoLabelHook(Hook):
    """Draw the teacher's labels and its confidence every so often.

    The picture goes to all ``vis_backends`` of the config as
    ``pseudo_labels.png`` (a file for ``LocalVisBackend``, an image for
    TensorBoard, Weights & Biases and MLflow). The training goes on as if
    nothing had been drawn. For models with a teacher, such as
    :class:`mmseg_ssl.methods.mean_teacher.MeanTeacher`.

    Args:
        interval (int): Iterations between pictures. Defaults to 500.
        num_images (int): The first images of the batch that are shown.
            Defaults to 4.
    """

    # behind the hook that moves the teacher
    priority = 'LOW'

    def __init__(self, interval: int = 500, num_images: int = 4) -> None:
        self.interval = interval
        self.num_images = num_images

    def before_train(self, runner: Runner) -> None:
        """Make sure that there is a teacher.

        Raises:
            TypeError: The model makes no pseudo-labels.
        """
        model = unwrapped(runner)
        if not hasattr(model, 'pseudo_label'):
            raise TypeError(
                f'PseudoLabelHook draws what a teacher says, and '
                f'{type(model).__name__} has none; remove it from '
                'custom_hooks')

    def after_train_iter(self,
                         runner: Runner,
                         batch_idx: int,
                         data_batch: dict | None = None,
                         outputs: dict | None = None) -> None:
        """Label the images once more, and draw.

        Every process does it, since their batch norms may be synchronised.
        """
        if not self.every_n_train_iters(runner, self.interval):
            return
        picture = self.draw(runner, data_batch['unlabeled'])
        if is_main_process():
            runner.visualizer.add_image(
                'pseudo_labels.png', picture, step=runner.iter + 1)

    def draw(self, runner: Runner, branch: dict) -> np.ndarray:
        """A picture (H, W, 3), uint8, RGB, of collated unlabelled samples."""
        model = unwrapped(runner)
        metainfo = runner.train_dataloader.dataset.metainfo
        first = {key: value[:self.num_images]
                 for key, value in branch.items()}
        batch = model.data_preprocessor(dict(unlabeled=first), training=True)
        images = batch['inputs']['unlabeled']
        samples = batch['data_samples']['unlabeled']
        with undisturbed(model):
            pseudo = model.pseudo_label(images, samples)
        pixels = denormalize(images, model.data_preprocessor)
        rows = [[
            Panel(pixels[i], Path(sample.img_path).stem),
            label_panel(pseudo.labels[i], metainfo['palette']),
            confidence_panel(pseudo.confidence[i],
                             f'mean {pseudo.confidence[i].mean():.2f}'),
        ] for i, sample in enumerate(samples)]
        figure = draw_panels(
            rows, TITLES, class_swatches(
                [pseudo.labels], metainfo['classes'], metainfo['palette']),
            scale='confidence ')
        figure.canvas.draw()
        return np.asarray(figure.canvas.buffer_rgba())[..., :3]


def unwrapped(runner: Runner) -> nn.Module:
    """The model without what distributes it."""
    model = runner.model
    return model.module if is_model_wrapper(model) else model
