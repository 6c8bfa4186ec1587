"""Every number in a table of results has its log beside it."""
from pathlib import Path

import pytest

from mmseg_ssl.visualization.run_log import RunRecord

ROOT = Path(__file__).resolve().parents[1]
PAGES = [*ROOT.glob('configs/*/README.md'), *ROOT.glob('docs/*.md')]
KEYS = ('config', 'seed', 'last mIoU', 'best mIoU (iteration)', 'log')


def result_rows(text: str) -> list[dict[str, str]]:
    """Rows of the tables that name a config and a log, by column."""
    rows, head = [], None
    for line in text.splitlines():
        cells = [cell.strip(' `') for cell in line.strip('|').split('|')]
        if not line.startswith('|'):
            head = None
        elif head is None:
            head = cells
        elif set(KEYS) <= set(head) and not line.startswith('|--'):
            rows.append(dict(zip(head, cells, strict=True)))
    return rows


ROWS = [
    pytest.param(path.parent / 'logs', row, id=f'{row["config"]}')
    for path in sorted(PAGES)
    for row in result_rows(path.read_text())
]


@pytest.mark.parametrize('logs, row', ROWS)
def test_row_is_what_was_logged(logs, row):
    path = logs / f'{row["config"]}.json'
    record = RunRecord.from_json(path.stem, path.read_text())
    best, iteration = record.miou.best
    assert row['log'] == record.log_hash
    assert row['seed'] == str(record.seed)
    assert row['last mIoU'] == f'{record.miou.last:.2f}'
    assert row['best mIoU (iteration)'] == f'{best:.2f} ({iteration})'


def test_tables_are_found():
    table = ('| config | seed | last mIoU | best mIoU (iteration) | log |\n'
             '|---|---|---|---|---|\n| `a` | 0 | 1.00 | 2.00 (5) | 0a |\n'
             '\n| config |\n|---|\n| `b` |\n')
    assert result_rows(table) == [dict(zip(KEYS, (
        'a', '0', '1.00', '2.00 (5)', '0a')))]
