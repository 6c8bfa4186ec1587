"""How much scores depend on the random numbers of a clustering."""
import json
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import HOOKS

FILE = 'clusterings.json'


@HOOKS.register_module()
class ClusteringSpreadHook(Hook):
    """Report mean and spread of the scores of several clusterings.

    For :class:`mmseg_ssl.engine.ClusteringLoop`, each of whose epochs clusters
    the same encoder with other random numbers: with
    ``train_cfg.max_epochs=5`` and a validation after each epoch, five
    clusterings. After the last one, mean and standard deviation (of a sample,
    with n - 1) of all scores go into the log, and with the scores themselves
    into ``clusterings.json`` in the work dir. A resumed run counts all.

    Beside the scores of each clustering, ``mean/<name>`` and ``std/<name>`` of
    those so far are logged, which tables of results can show.
    """

    def __init__(self) -> None:
        self.names: set[str] = set()

    def after_val_epoch(self, runner: Runner,
                        metrics: dict[str, Any] | None = None) -> None:
        """Remember what the scores are called; log mean and spread."""
        self.names.update(metrics or ())
        for name, scores in self._report(runner).items():
            for key in ('mean', 'std'):
                runner.message_hub.update_scalar(
                    f'val/{key}/{name}', scores[key])

    @master_only
    def after_train(self, runner: Runner) -> None:
        """Write the report."""
        report = self._report(runner)
        if not report:
            return
        path = Path(runner.work_dir, FILE)
        path.write_text(json.dumps(report, indent=2) + '\n')
        num = max(len(scores['values']) for scores in report.values())
        lines = [f'{name}: {scores["mean"]:.2f} +- {scores["std"]:.2f}'
                 for name, scores in report.items()]
        runner.logger.info(
            f'Mean and standard deviation of {num} clusterings: '
            f'{", ".join(lines)} ({path})')

    def _report(self, runner: Runner) -> dict[str, dict[str, Any]]:
        """Mean, spread and values of each score so far."""
        report = {}
        for name in sorted(self.names):
            history, _ = runner.message_hub.get_scalar(f'val/{name}').data
            values = [float(value) for value in history]
            report[name] = dict(
                mean=float(np.mean(values)),
                std=float(np.std(values, ddof=1)) if len(values) > 1 else 0.0,
                values=values)
        return report
