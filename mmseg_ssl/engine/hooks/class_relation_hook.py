"""Watch during training which classes look alike."""
import numpy as np
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from mmseg.registry import HOOKS

from mmseg_ssl.visualization.class_relation import (
    ClassRelation,
    plot_relations,
    relate_classes,
)


@HOOKS.register_module()
class ClassRelationHook(Hook):
    """Draw the class relations of the validation set after each validation.

    The picture, as of ``tools/analysis_tools/class_relation.py``, goes to all
    ``vis_backends`` of the config as ``class_relation.png`` (a file for
    ``LocalVisBackend``, an image for the others). The mean similarity of all
    pairs of classes goes there as a number, ``class_similarity/features`` and,
    where there is a representation head, ``class_similarity/embedding``.

    It costs another pass over the validation images. Distributed processes
    share the work. Where there is nothing to relate (fewer than two classes,
    features that are not finite), a warning says so and training goes on.
    """

    # Behind the hooks that look at the metrics.
    priority = 'LOW'

    def after_val_epoch(self,
                        runner: Runner,
                        metrics: dict[str, float] | None = None) -> None:
        """Embed the validation images again, draw and log."""
        model = runner.model
        if is_model_wrapper(model):
            model = model.module
        loader = runner.val_dataloader
        try:
            relations = relate_classes(
                model, loader, loader.dataset.metainfo['classes'],
                len(loader.dataset))
            if is_main_process():
                self._draw(runner, relations)
        except ValueError as error:
            runner.logger.warning(f'no class relations: {error}')

    @staticmethod
    def _draw(runner: Runner, relations: dict[str, ClassRelation]) -> None:
        figure = plot_relations({f'iteration {runner.iter}': relations})
        figure.canvas.draw()
        pixels = np.asarray(figure.canvas.buffer_rgba())[..., :3]
        runner.visualizer.add_image(
            'class_relation.png', pixels, step=runner.iter)
        runner.visualizer.add_scalars({
            f'class_similarity/{kind}': relation.mean_similarity()
            for kind, relation in relations.items()}, step=runner.iter)
