"""Validation of a teacher and a student side by side."""
from mmengine.model import is_model_wrapper
from mmengine.runner import ValLoop
from mmseg.registry import LOOPS


@LOOPS.register_module()
class TeacherStudentValLoop(ValLoop):
    """Validate the teacher, then the student.

    Metrics appear as ``teacher/mIoU`` and ``student/mIoU``; those of the
    network that predicts (``test_cfg['predict_on']`` of the model) also as
    ``mIoU``, by which checkpoints are compared. Use it as
    ``val_cfg = dict(type='TeacherStudentValLoop')`` with a
    :class:`mmseg_ssl.methods.mean_teacher.MeanTeacher`.
    """

    def run(self) -> dict[str, float]:
        """Run validation once for each network.

        Returns:
            dict[str, float]: Metrics of both, prefixed by who predicted, and
            those of the configured one without a prefix.
        """
        self.runner.call_hook('before_val')
        self.runner.call_hook('before_val_epoch')
        self.runner.model.eval()
        model = self.runner.model
        if is_model_wrapper(model):
            model = model.module
        configured = model.test_cfg['predict_on']
        metrics_by_name = {}
        try:
            for name in ('teacher', 'student'):
                model.test_cfg['predict_on'] = name
                metrics_by_name[name] = self._evaluate()
        finally:
            model.test_cfg['predict_on'] = configured
        metrics = dict(metrics_by_name[configured])
        for name, values in metrics_by_name.items():
            metrics.update(
                {f'{name}/{key}': value for key, value in values.items()})
        self.runner.call_hook('after_val_epoch', metrics=metrics)
        self.runner.call_hook('after_val')
        return metrics

    def _evaluate(self) -> dict[str, float]:
        for idx, data_batch in enumerate(self.dataloader):
            self.run_iter(idx, data_batch)
        return self.evaluator.evaluate(len(self.dataloader.dataset))
