"""What a training left in its work directory: curves, metrics, config."""
import hashlib
import json
import re
import statistics
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from mmengine.config import Config

# a row of mmseg's table: "|  road  | 94.49 | 97.1 |"
_TABLE_ROW = re.compile(r'^\|\s*(.+?)\s*\|\s*([\d.]+|nan)\s*\|')
_TABLE_HEAD = re.compile(r'^\|\s*Class\s*\|\s*IoU\s*\|')
# what ranks trainings: of segmentation, then of the tasks before it; any
# other metric if none of these was measured
_RANKING = ('mIoU', 'movable_acc', 'permutation_acc', 'nn_acc')
# of training, ranks what is never validated
LOSS = 'loss'
# what mmengine logs beside losses and metrics
_BOOKKEEPING = ('step', 'iter', 'epoch', 'time', 'data_time', 'memory')


@dataclass
class Curve:
    """A value over iterations."""

    steps: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    @property
    def last(self) -> float:
        return self.values[-1]

    @property
    def best(self) -> tuple[float, int]:
        """The highest value and the iteration that reached it first."""
        return self._first(max(self.values))

    @property
    def lowest(self) -> tuple[float, int]:
        """The lowest value and the iteration that reached it first."""
        return self._first(min(self.values))

    def _first(self, value: float) -> tuple[float, int]:
        return value, self.steps[self.values.index(value)]


@dataclass
class RunRecord:
    """The numbers of one training, enough for its row in a table.

    Attributes:
        name (str): What the reader calls it; runs that differ only in their
            seed share a name.
        seed (int, optional): Of the random numbers.
        train (dict[str, Curve]): Everything logged while training.
        val (dict[str, Curve]): Everything logged at validations; empty for
            a training without any.
        class_iou (dict[str, float]): IoU in percent of every class at the
            last validation, of whom :attr:`metric` is about.
        config_name (str, optional): Stem of the config's file.
        device (str, optional): ``'CPU'``, or GPUs as ``'2x NVIDIA H200'``.
        checkpoint_hash (str, optional): First 8 hex digits of the SHA-256 of
            the checkpoint of the last iteration, as training wrote it.
    """

    name: str
    seed: int | None
    train: dict[str, Curve]
    val: dict[str, Curve]
    class_iou: dict[str, float]
    config_name: str | None = field(default=None, kw_only=True)
    device: str | None = field(default=None, kw_only=True)
    checkpoint_hash: str | None = field(default=None, kw_only=True)

    @property
    def metric(self) -> str:
        """What ranks runs: a key of :attr:`val`, or else the loss."""
        return ranking_key(list(self.val)) if self.val else LOSS

    @property
    def metric_name(self) -> str:
        """The :attr:`metric` without whose it is, as ``teacher/``."""
        return self.metric.split('/')[-1]

    @property
    def score(self) -> Curve:
        """What ranks runs, over iterations; shares are in percent."""
        return self.val[self.metric] if self.val else self.train[LOSS]

    @property
    def best(self) -> tuple[float, int]:
        """The best :attr:`score` and the iteration that reached it first."""
        return self.score.best if self.val else self.score.lowest

    @property
    def miou(self) -> Curve:
        """Mean IoU in percent over iterations."""
        return self.val[mean_iou_key(list(self.val))]

    @property
    def iterations(self) -> int:
        return max(curve.steps[-1]
                   for curve in (*self.train.values(), *self.val.values()))

    @property
    def seconds_per_iteration(self) -> float | None:
        """Median, so that pauses of the machine do not count."""
        if 'time' not in self.train:
            return None
        return statistics.median(self.train['time'].values)

    @property
    def peak_memory(self) -> float | None:
        """In MiB: of the GPU, or of the whole process without one."""
        if 'memory' not in self.train:
            return None
        return max(self.train['memory'].values)

    def to_json(self) -> str:
        """All but the name as text; :meth:`from_json` reads it.

        What is not known is left out, so that records of earlier versions
        keep their hash.
        """
        curves = {
            split: {key: [curve.steps, [_rounded(v) for v in curve.values]]
                    for key, curve in getattr(self, split).items()}
            for split in ('train', 'val')
        }
        class_iou = {
            name: _rounded(iou) for name, iou in self.class_iou.items()}
        known = {
            key: getattr(self, key) for key in _OPTIONAL
            if getattr(self, key) is not None}
        return json.dumps(
            dict(seed=self.seed, **known, class_iou=class_iou, **curves),
            separators=(',', ':')) + '\n'

    @staticmethod
    def from_json(name: str, text: str) -> 'RunRecord':
        """Read what :meth:`to_json` wrote."""
        data = json.loads(text)
        curves = {
            split: {key: Curve(*curve) for key, curve in data[split].items()}
            for split in ('train', 'val')
        }
        return RunRecord(
            name=name, seed=data['seed'], class_iou=data['class_iou'],
            train=curves['train'], val=curves['val'],
            **{key: data.get(key) for key in _OPTIONAL})

    @property
    def log_hash(self) -> str:
        """First 8 hex digits of the SHA-256 of :meth:`to_json`."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:8]


_OPTIONAL = ('config_name', 'device', 'checkpoint_hash')


@dataclass
class TrainingRun(RunRecord):
    """One training, as its log tells it.

    Attributes:
        work_dir (Path): Where it was written.
        config_path (Path): The config as mmengine dumped it.
        config (Config): The same, read.
    """

    work_dir: Path
    config_path: Path
    config: Config

    @property
    def checkpoint(self) -> Path:
        """The checkpoint written last."""
        pointer = self.work_dir / 'last_checkpoint'
        if not pointer.exists():
            raise FileNotFoundError(
                f'{self.work_dir} holds no checkpoint (no file '
                '"last_checkpoint")')
        return self.work_dir / Path(pointer.read_text().strip()).name


def _rounded(value: float) -> float:
    """Six digits: more than is measured, and the same after reading."""
    return float(f'{value:.6g}')


def mean_iou_key(keys: list[str]) -> str:
    """Choose among ``mIoU`` (preferred), ``teacher/mIoU``, ..."""
    key = _key_of('mIoU', keys)
    if key is None:
        raise ValueError(f'no mIoU among the metrics {sorted(keys)}')
    return key


def ranking_key(keys: list[str]) -> str:
    """The metric that ranks trainings: mean IoU where there is one.

    ``mIoU`` itself is preferred to ``teacher/mIoU``, and so are the others.
    """
    return _ranked_in(keys) or next(
        key for key in keys if key not in _BOOKKEEPING)


def _ranked_in(keys: Iterable[str]) -> str | None:
    """The first of the metrics that are known to rank trainings."""
    found = (_key_of(metric, list(keys)) for metric in _RANKING)
    return next((key for key in found if key is not None), None)


def _key_of(metric: str, keys: list[str]) -> str | None:
    candidates = [key for key in keys if key.split('/')[-1] == metric]
    return metric if metric in candidates else next(iter(candidates), None)


def file_hash(path: Path) -> str:
    """First 8 hex digits of the SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open('rb') as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()[:8]


def read_run(name: str, work_dir: str | Path) -> TrainingRun:
    """Read the work directory of one training.

    A training that was resumed has written several logs; they are joined. A
    folder that ``tools/test.py --work-dir`` had to itself is read as well:
    its scores are those of the last test, at iteration 0.

    Raises:
        FileNotFoundError: No training was written there, or one that is to
            be validated and has not been yet.
    """
    work_dir = Path(work_dir)
    train, val = read_curves(work_dir)
    if not (train or val):
        val = _read_test(work_dir)
    configs = sorted(work_dir.glob('*.py'), key=lambda p: p.stat().st_mtime)
    if not (train or val) or not configs:
        raise FileNotFoundError(
            f'{work_dir} is not the work directory of a training (it should '
            'hold a config *.py and <time>/vis_data/scalars.json)')
    config = Config.fromfile(configs[-1])
    if not val and (config.get('val_cfg') or LOSS not in train):
        raise FileNotFoundError(f'{work_dir} has no validation in its log yet')
    text = '\n'.join(
        log.read_text() for log in sorted(work_dir.glob('*/*.log')))
    return TrainingRun(
        name=name,
        seed=config.get('randomness', {}).get('seed'),
        train=train,
        val=val,
        class_iou=_read_class_iou(text, val),
        config_name=configs[-1].stem,
        device=_read_device(text),
        work_dir=work_dir,
        config_path=configs[-1],
        config=config)


def read_scalars(work_dir: Path) -> list[dict[str, float]]:
    """Everything a training logged, in order.

    A resumed training has written several logs: what a later one repeats
    replaces what an earlier one holds.
    """
    rows: list[dict[str, float]] = []
    for path in sorted(work_dir.glob('*/vis_data/scalars.json')):
        session = [json.loads(line) for line in path.read_text().splitlines()]
        if session:
            start = min(row['step'] for row in session)
            rows = [row for row in rows if row['step'] < start] + session
    return rows


def read_curves(
        work_dir: Path) -> tuple[dict[str, Curve], dict[str, Curve]]:
    """What was logged while training, and at validations, by name."""
    rows = read_scalars(work_dir)
    return (_to_curves(row for row in rows if not _is_validation(row)),
            _to_curves(row for row in rows if _is_validation(row)))


def _read_test(work_dir: Path) -> dict[str, Curve]:
    """What mmengine wrote at the end of the last test, by name."""
    paths = sorted(path for path in work_dir.glob('*/*.json')
                   if path.stem == path.parent.name)
    if not paths:
        return {}
    scores = {key: value for key, value
              in json.loads(paths[-1].read_text()).items()
              if isinstance(value, (int, float))}
    return _to_curves([dict(step=0, **scores)])


def _is_validation(row: dict[str, float]) -> bool:
    """Whether a row is of a validation, whatever its metric.

    mmengine writes it with the time it took but, unlike one of training,
    without ``iter``. What other hooks write has neither.
    """
    if 'iter' in row or LOSS in row:
        return False
    return 'time' in row or _ranked_in(row) is not None


def _to_curves(rows: Iterable[dict[str, float]]) -> dict[str, Curve]:
    curves: dict[str, Curve] = {}
    for row in rows:
        for key, value in row.items():
            if key in ('step', 'iter', 'epoch'):
                continue
            curve = curves.setdefault(key, Curve())
            curve.steps.append(int(row['step']))
            curve.values.append(float(value))
    return curves


def _read_class_iou(log: str, val: dict[str, Curve]) -> dict[str, float]:
    """Per-class IoU of the last validation, from mmseg's tables in the log.

    A validation of teacher and student prints one table each, in the order
    of their metrics, and repeats the mean of one of them as ``mIoU``. Means
    over parts of the classes have no tables.
    """
    tables: list[dict[str, float]] = []
    for line in log.splitlines():
        if _TABLE_HEAD.match(line):
            tables.append({})
        elif tables and (row := _TABLE_ROW.match(line)):
            tables[-1][row[1]] = float(row[2])
    ranked = _key_of('mIoU', list(val))
    if ranked is None:
        return {}
    both = ['teacher/mIoU', 'student/mIoU']
    printed = [key for key in both if key in val] or [ranked]
    if len(tables) < len(printed):
        return {}
    whose = next((i for i, key in enumerate(printed)
                  if val[key].last == val[ranked].last), 0)
    return tables[whose - len(printed)]


def _read_device(log: str) -> str | None:
    """What trained, from the description of its machine in the log.

    mmengine writes it at every start; the last one counts.
    """
    cuda = re.findall(r'^ *CUDA available: (True|False)$', log, re.MULTILINE)
    if not cuda:
        return None
    if cuda[-1] == 'False':
        return 'CPU'
    names = re.findall(r'^ *GPU [\d,]+: (.+)$', log, re.MULTILINE)
    counts = re.findall(r'^ *GPU number: (\d+)$', log, re.MULTILINE)
    if not names or not counts:
        return None
    return f'{counts[-1]}x {names[-1]}'
