"""Tables of results and metafiles are what the records of trainings say."""
import functools
import re
import runpy
import sys
from pathlib import Path

import pytest
import yaml
from mmengine.config import Config
from mmengine.config.utils import _get_cfg_metainfo
from mmengine.infer import BaseInferencer

import mmseg_ssl
from mmseg_ssl.visualization.run_log import RunRecord

ROOT = Path(__file__).resolve().parents[1]
PAGES = [*ROOT.glob('configs/*/README.md'), *ROOT.glob('docs/*.md')]
METAFILES = sorted(ROOT.glob('configs/*/metafile.yml'))
KEYS = ('config', 'seed', 'log')


def result_rows(text: str) -> list[dict[str, str]]:
    """Rows of the tables that name a config and a log, by column.

    Means over seeds name no log.
    """
    rows, head = [], None
    for line in text.splitlines():
        cells = [cell.strip(' `') for cell in line.strip('|').split('|')]
        if not line.startswith('|'):
            head = None
        elif head is None:
            head = cells
        elif set(KEYS) <= set(head) and not line.startswith('|--'):
            rows.append(dict(zip(head, cells, strict=True)))
    return [row for row in rows if row['log']]


ROWS = [
    pytest.param(path.parent / 'logs', row, id=f'{row["config"]}')
    for path in sorted(PAGES)
    for row in result_rows(path.read_text())
]


@pytest.mark.parametrize('logs, row', ROWS)
def test_row_is_what_was_logged(logs, row):
    path = logs / f'{row["config"]}.json'
    record = RunRecord.from_json(path.stem, path.read_text())
    best, iteration = record.best
    assert row['log'] == record.log_hash
    assert row['seed'] == str(record.seed)
    metric = record.metric_name
    assert row[f'last {metric}'] == f'{record.score.last:.2f}'
    assert row[f'best {metric} (iteration)'] == f'{best:.2f} ({iteration})'


def test_tables_are_found():
    table = ('| config | seed | last mIoU | best mIoU (iteration) | log |\n'
             '|---|---|---|---|---|\n| `a` | 0 | 1.00 | 2.00 (5) | 0a |\n'
             '| mean | 0, 1 | 1.00 ± 0.10 | 2.00 ± 0.10 | |\n'
             '\n| config |\n|---|\n| `b` |\n')
    row, = result_rows(table)
    assert (row['config'], row['last mIoU'], row['log']) == ('a', '1.00', '0a')
    assert len(ROWS) >= 4


def test_pages_and_metafiles_are_up_to_date(monkeypatch):
    """If this fails: ``python tools/build_model_zoo.py``."""
    monkeypatch.setattr(sys, 'argv', ['build_model_zoo.py', '--check'])
    runpy.run_path(str(ROOT / 'tools/build_model_zoo.py'))['main']()


# -------------------------- what reads metafiles --------------------------


@functools.cache
def models() -> list[dict]:
    return [model for path in METAFILES
            for model in yaml.safe_load(path.read_text())['Models']]


def test_index_names_every_metafile():
    index = yaml.safe_load((ROOT / 'model-index.yml').read_text())
    assert [ROOT / path for path in index['Import']] == METAFILES
    folders = {path.parent for path in ROOT.glob('configs/*/*_*.py')
               if path.parent.name != '_base_'}
    assert {path.parent for path in METAFILES} == folders


def test_every_config_is_a_model_of_its_name():
    configs = {str(path.relative_to(ROOT)): path.stem
               for path in ROOT.glob('configs/*/*_*.py')
               if path.parent.name != '_base_'}
    assert {model['Config']: model['Name'] for model in models()} == configs
    names = [name for model in models()
             for name in (model['Name'], *model.get('Alias', []))]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize('name', [
    'reco-classmix_mbv2-d16-deeplabv3plus_1xb4-4k_camvid-120x160-20l',
    'mix-and-match_vgg16_4xb16-8k_cityscapes-512x512',
    'fs4-iss-mocov2_r18_1xb32-100e_msrc21-112x112',
])
def test_metadata_agree_with_the_config(name):
    model, = (model for model in models() if model['Name'] == name)
    cfg = Config.fromfile(ROOT / model['Config'])
    data = model['Metadata']
    gpus = int(re.search(r'_(\d+)xb', name)[1])
    assert data['Batch Size'] == gpus * cfg.train_dataloader.batch_size
    assert cfg.train_cfg.get('max_iters') == data.get('Iterations')
    assert cfg.train_cfg.get('max_epochs') == data.get('Epochs')


def test_models_are_found_by_name_and_alias():
    listed = BaseInferencer.list_models('mmseg_ssl', r'reco-classmix_.*20l$')
    assert {'reco-classmix_camvid-120x160-20l',
            'reco-classmix_mbv2-d16-deeplabv3plus_1xb4-4k_camvid-120x160-20l'
            } <= set(listed)


def test_mmengine_finds_the_metainfo_of_a_config(tmp_path):
    (tmp_path / '.mim').symlink_to(ROOT)
    name = 'supervised_mbv2-d16-deeplabv3plus_1xb8-1k_scenes-10l'
    info = _get_cfg_metainfo(str(tmp_path), f'supervised/{name}.py')
    assert info['Name'] == name and isinstance(info['Weights'], str)


def test_inferencer_by_name_says_that_there_are_no_weights():
    from mmseg.apis import MMSegInferencer

    assert Path(mmseg_ssl.__file__).is_relative_to(ROOT)
    with pytest.raises(FileNotFoundError, match='none are hosted; train it'):
        MMSegInferencer('supervised_scenes-10l', scope='mmseg_ssl')
