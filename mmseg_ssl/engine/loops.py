"""Validation of a teacher and a student side by side."""
from mmengine.model import is_model_wrapper
from mmengine.runner import ValLoop
from mmseg.registry import LOOPS


@LOOPS.register_module()
class TeacherStudentValLoop(ValLoop):
    """Validate the teacher, then the student.

    Metrics appear as ``teacher/mIoU`` and ``student/mIoU``. Use it as
    ``val_cfg = dict(type='TeacherStudentValLoop')`` with a
    :class:`mmseg_ssl.methods.mean_teacher.MeanTeacher`.
    """

    def run(self) -> dict[str, float]:
        """Run validation once for each network.

        Returns:
            dict[str, float]: Metrics of both, prefixed by who predicted.
        """
        self.runner.call_hook('before_val')
        self.runner.call_hook('before_val_epoch')
        self.runner.model.eval()
        model = self.runner.model
        if is_model_wrapper(model):
            model = model.module
        configured = model.test_cfg['predict_on']
        metrics = {}
        try:
            for name in ('teacher', 'student'):
                model.test_cfg['predict_on'] = name
                metrics.update(self._evaluate(prefix=name))
        finally:
            model.test_cfg['predict_on'] = configured
        self.runner.call_hook('after_val_epoch', metrics=metrics)
        self.runner.call_hook('after_val')
        return metrics

    def _evaluate(self, prefix: str) -> dict[str, float]:
        for idx, data_batch in enumerate(self.dataloader):
            self.run_iter(idx, data_batch)
        metrics = self.evaluator.evaluate(len(self.dataloader.dataset))
        return {f'{prefix}/{key}': value for key, value in metrics.items()}
