"""Fill tables of results and write metafiles from the records of trainings.

    python tools/analysis_tools/results_table.py WORK_DIRS --save DIR/logs
    python tools/build_model_zoo.py

No number in a table of results is typed by hand. A page (``docs/*.md`` or
``configs/<method>/README.md``) says which records of the folder ``logs``
beside it are in which row, by lines ``LABEL: NAME [NAME ...]``, where names
may hold ``*`` and ``?``::

    <!-- results: method
    supervised: supervised_mbv2_camvid-20l supervised_mbv2_camvid-20l-s?
    ReCo: reco_mbv2_camvid-20l*
    -->
    everything here is written by this tool
    <!-- /results -->

``<!-- results: method | aAcc`` adds columns of other metrics, and
``<!-- results by class: method`` makes a table of the IoU of every class. The
same records and the names of the configs make ``model-index.yml`` and
``configs/<method>/metafile.yml``. ``--check`` writes nothing and fails if
anything would change.
"""
import argparse
import fnmatch
import re
import sys
from collections import Counter
from functools import cache, partial
from pathlib import Path

import yaml

from mmseg_ssl.visualization.results import class_table, results_table
from mmseg_ssl.visualization.run_log import RunRecord

ROOT = Path(__file__).resolve().parents[1]
BLOCK = re.compile(
    r'^(?P<head><!-- results(?P<by_class> by class)?: (?P<first>[^|\n]+)'
    r'(\|(?P<extra>[^\n]+))?\n'
    r'(?P<rows>.*?)-->\n)(?P<body>.*?)^(?P<foot><!-- /results -->)',
    re.DOTALL | re.MULTILINE)
# {method}_{backbone}-{head}_{gpus}xb{batch}-{schedule}_{dataset}[-{labels}]
NAME = re.compile(
    r'(?P<method>[^_]+)_(?P<network>[^_]+)_(?P<gpus>\d+)xb(?P<batch>\d+)-'
    r'(?P<length>\d+)(?P<unit>k|e)_(?P<data>[^_]+)')
PAPER = re.compile(r'^> \[(?P<Title>[^]]+)\]\((?P<URL>[^)]+)\)', re.MULTILINE)
STARTS_FROM = re.compile(r'work_dirs/([\w.-]+)/\w+\.pth')
DATASETS = {
    'camvid': 'CamVid', 'cityscapes': 'Cityscapes',
    'coco-stuff27': 'COCO-Stuff-27', 'imagenet': 'ImageNet-1k',
    'msrc21': 'MSRC-21', 'scenes': 'Painted scenes', 'sunrgbd': 'SUN RGB-D',
    'voc12aug': 'Pascal VOC 2012 + Aug', 'voc12test': 'Pascal VOC 2012 test'}
PARTS = {
    'alexnet': 'AlexNet', 'mbv2': 'MobileNetV2', 'mit': 'MiT-B0',
    'r18': 'ResNet-18', 'r50': 'ResNet-50', 'r101': 'ResNet-101',
    'vgg16': 'VGG-16', 'deeplabv2': 'DeepLabV2', 'deeplabv3plus': 'DeepLabV3+',
    'fcn': 'FCN', 'fcn32s': 'FCN-32s', 'fpn': 'FPN',
    'hypercolumn': 'Hypercolumns', 'pspnet': 'PSPNet',
    'segformer': 'SegFormer'}
TASKS = {
    'mIoU': 'Semantic Segmentation', 'movable_acc': 'Jigsaw Puzzles',
    'permutation_acc': 'Jigsaw Puzzles', 'nn_acc': 'Patch Retrieval'}
OTHER_TASK = 'Self-Supervised Pre-Training'
# Not null: an inferencer would go on with random weights. As the name of a
# file that does not exist it ends in an error that says what to do.
NO_WEIGHTS = ('weights of this model (none are hosted; train it, and give '
              'your checkpoint)')
WRITTEN = '# Written by tools/build_model_zoo.py from records of trainings.\n'


@cache
def read_records(folder: Path) -> dict[str, RunRecord]:
    """The records that ``results_table.py --save`` wrote to a folder."""
    records = {}
    for path in sorted(folder.glob('*.json')):
        try:
            records[path.stem] = RunRecord.from_json(
                path.stem, path.read_text())
        except (ValueError, KeyError, TypeError) as error:
            raise SystemExit(f'{path} is not a record of a training '
                             f'({error}); write it anew with '
                             'results_table.py --save') from error
    return records


# --------------------------------- tables ---------------------------------


def select(lines: str, records: dict[str, RunRecord]
           ) -> dict[str, list[RunRecord]]:
    """The records of each ``LABEL: NAME [NAME ...]``, by seed and name."""
    groups: dict[str, list[RunRecord]] = {}
    for line in filter(str.strip, lines.splitlines()):
        label, colon, patterns = line.partition(': ')
        if not colon or label in groups:
            raise ValueError('expected lines "LABEL: NAME [NAME ...]" with '
                             f'one label each, got {line!r}')
        found = [run for name, run in records.items()
                 if any(fnmatch.fnmatchcase(name, pattern)
                        for pattern in patterns.split())]
        groups[label] = sorted(
            found, key=lambda run: (run.seed or 0, run.name))
    return groups


def fill(match: re.Match[str], records: dict[str, RunRecord],
         shown: set[str]) -> str:
    """A marked block with the table that belongs there."""
    groups = select(match['rows'], records)
    shown |= {run.name for runs in groups.values() for run in runs}
    first = match['first'].strip()
    if match['by_class']:
        table = class_table(groups, first)
    else:
        table = results_table(groups, first, (match['extra'] or '').split())
    return f'{match["head"]}{table}\n{match["foot"]}'


def fill_pages(root: Path) -> dict[Path, str]:
    """All pages with tables, as they should be."""
    pages, shown = {}, {}
    for path in sorted([*root.glob('docs/*.md'),
                        *root.glob('configs/*/README.md')]):
        logs = path.parent / 'logs'
        records = read_records(logs)
        names = shown.setdefault(logs, set())
        try:
            pages[path] = BLOCK.sub(
                partial(fill, records=records, shown=names),
                path.read_text())
        except ValueError as error:
            raise SystemExit(f'{path}: {error}') from error
    for logs, names in shown.items():
        for path in sorted(logs.glob('*.json')):
            if path.stem not in names:
                print(f'{path} is in no table of the pages beside '
                      f'{logs.name}/', file=sys.stderr)
    return pages


# -------------------------------- metafiles --------------------------------


def dataset_of(name: str) -> str:
    """The data set a config is named after."""
    data = NAME.fullmatch(name)['data']
    for key, title in DATASETS.items():
        if data.startswith(key):
            return title
    raise SystemExit(
        f'{name}: {data} starts with none of the data sets '
        f'{", ".join(DATASETS)}; name a new one in DATASETS of '
        'tools/build_model_zoo.py')


def metadata(name: str, run: RunRecord | None) -> dict:
    """What the name of a config and the record of its training tell."""
    match = NAME.fullmatch(name)
    length = int(match['length'])
    parts = match['network'].split('-')
    data = dict([('Training Data', dataset_of(name)),
                 ('Batch Size', int(match['gpus']) * int(match['batch'])),
                 ('Iterations', length * 1000) if match['unit'] == 'k'
                 else ('Epochs', length)])
    if architecture := [PARTS[part] for part in parts if part in PARTS]:
        data['Architecture'] = architecture
    if labels := re.search(r'-(\d+)l(-|$)', match['data']):
        data['Labeled Images'] = int(labels[1])
    if run is not None:
        if run.device:
            data['Training Resources'] = run.device
        if run.peak_memory is not None:
            data['Memory (GB)'] = round(run.peak_memory / 1024, 2)
        data['Seed'] = run.seed
    return data


def downstream(configs: list[Path]) -> dict[str, list[str]]:
    """Trainings that start from the weights of another, by its name."""
    found: dict[str, list[str]] = {}
    for config in configs:
        for name in sorted({*STARTS_FROM.findall(config.read_text())}):
            found.setdefault(name, []).append(config.stem)
    return found


def model_entry(config: Path, collection: str, alias: str | None,
                starts: list[str], run: RunRecord | None,
                log: str | None) -> dict:
    """One config in the layout of mmseg's and mmpretrain's metafiles."""
    name = config.stem
    entry = {
        'Name': name,
        'In Collection': collection,
        'Config': f'configs/{config.parent.name}/{config.name}',
        'Metadata': metadata(name, run),
    }
    if alias:
        entry['Alias'] = [alias]
    if starts:
        entry['Downstream'] = starts
    if run is not None:
        metric = run.metric_name
        entry['Results'] = [{
            'Task': TASKS.get(metric, OTHER_TASK),
            'Dataset': dataset_of(name),
            'Metrics': {metric: round(run.score.last, 2),
                        f'{metric} (best)': round(run.best[0], 2)}}]
        entry['Training log'] = log
    entry['Weights'] = NO_WEIGHTS
    return entry


def aliases(names: list[str]) -> dict[str, str]:
    """``METHOD_DATA`` for each config that is the only one of both."""
    short = {name: '{method}_{data}'.format(**NAME.fullmatch(name).groupdict())
             for name in names}
    count = Counter(short.values())
    return {name: alias for name, alias in short.items()
            if count[alias] == 1}


def all_records(root: Path) -> dict[str, tuple[RunRecord, str]]:
    """Trainings of configs as they are, with the paths of their records."""
    found: dict[str, tuple[RunRecord, str]] = {}
    for folder in sorted(root.glob('configs/*/logs')):
        for name, run in read_records(folder).items():
            path = (folder / f'{name}.json').relative_to(root).as_posix()
            other = found.setdefault(name, (run, path))
            if other[0].log_hash != run.log_hash:
                raise SystemExit(f'{other[1]} and {path} are different '
                                 'trainings of one name; rename one')
    return found


def collection_entry(folder: Path, data: list[str]) -> dict:
    """What the README of a method says at its top."""
    text = (folder / 'README.md').read_text()
    title = text.splitlines()[0].removeprefix('# ').split(':')[0]
    entry = {'Name': title, 'License': 'Apache License 2.0',
             'Metadata': {'Training Data': data}}
    if paper := PAPER.search(text):
        entry['Paper'] = paper.groupdict()
    return entry | {'README': f'configs/{folder.name}/README.md',
                    'Frameworks': ['PyTorch']}


def metafiles(root: Path) -> dict[Path, str]:
    """``metafile.yml`` of each method, and ``model-index.yml``."""
    records = all_records(root)
    configs = sorted((path for path in root.glob('configs/*/*.py')
                      if path.parent.name != '_base_'),
                     key=lambda path: (path.parent.name, path.stem))
    bad = [path.name for path in configs if not NAME.fullmatch(path.stem)]
    if bad:
        raise SystemExit(f'not named {NAME.pattern}: {", ".join(bad)}')
    alias = aliases([path.stem for path in configs])
    starts = downstream(configs)
    files = {}
    for folder in sorted({path.parent for path in configs}):
        own = [path for path in configs if path.parent == folder]
        collection = collection_entry(
            folder, sorted({dataset_of(path.stem) for path in own}))
        models = [
            model_entry(path, collection['Name'], alias.get(path.stem),
                        starts.get(path.stem, []),
                        *records.get(path.stem, (None, None)))
            for path in own]
        files[folder / 'metafile.yml'] = _dump(
            {'Collections': [collection], 'Models': models})
    index = [path.relative_to(root).as_posix() for path in files]
    return files | {root / 'model-index.yml': _dump({'Import': index})}


def _dump(content: dict) -> str:
    return WRITTEN + yaml.safe_dump(
        content, sort_keys=False, allow_unicode=True, width=1000)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0])
    parser.add_argument(
        '--check', action='store_true',
        help='write nothing; fail if a file would change')
    parser.add_argument('--root', type=Path, default=ROOT, metavar='DIR',
                        help='of the project (that of this file)')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    files = fill_pages(args.root) | metafiles(args.root)
    stale = [path for path, text in files.items()
             if not path.exists() or path.read_text() != text]
    for path in stale:
        print(path.relative_to(args.root))
        if not args.check:
            path.write_text(files[path])
    if args.check and stale:
        sys.exit('these files are not what the records say; run: '
                 'python tools/build_model_zoo.py')


if __name__ == '__main__':
    main()
