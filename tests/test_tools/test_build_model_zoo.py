"""Tables and metafiles from records, in a small project."""
import shutil
from pathlib import Path

import pytest
import yaml

from mmseg_ssl.visualization.run_log import Curve, RunRecord

TOOL = 'tools/build_model_zoo.py'
NAME = 'reco_mbv2-d16-fcn_2xb4-4k_camvid-120x160-20l'
PAGE = f"""\
# ReCo: regional contrast

> [Bootstrapping](https://example.org/reco), 2022

Before.

<!-- results: method | aAcc
ReCo: {NAME} {NAME}-s?
other: other*
-->
old rows
<!-- /results -->

    <!-- results: an example
    -->
    <!-- /results -->

<!-- results by class: method
ReCo: {NAME}
-->
<!-- /results -->

After.
"""


def record(name: str, seed: int, *values: float) -> RunRecord:
    steps = [1000 * (i + 1) for i in range(len(values))]
    return RunRecord(
        name, seed,
        train=dict(time=Curve([50], [0.5]), memory=Curve([50], [2048.0])),
        val=dict(mIoU=Curve(steps, list(values)),
                 aAcc=Curve(steps, [90.0] * len(values))),
        class_iou=dict(sky=91.26, road=8.0), device='2x NVIDIA H200',
        checkpoint_hash='0123abcd')


@pytest.fixture
def project(tmp_path) -> Path:
    folder = tmp_path / 'configs/reco'
    (folder / 'logs').mkdir(parents=True)
    (tmp_path / 'docs').mkdir()
    (folder / 'README.md').write_text(PAGE)
    for name in (NAME, f'{NAME}-s1', 'reco_mbv2_1xb8-10e_msrc21-112x112'):
        (folder / f'{name}.py').write_text('')
    save(tmp_path, record(NAME, 0, 50.0, 40.0))
    save(tmp_path, record(f'{NAME}-s1', 1, 30.0, 42.0))
    return tmp_path


def save(project: Path, run: RunRecord, method: str = 'reco') -> None:
    path = project / f'configs/{method}/logs/{run.name}.json'
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(run.to_json())


@pytest.fixture
def build(project, call_main):

    def call(*arguments: str) -> str:
        call_main(TOOL, '--root', project, *arguments)
        return (project / 'configs/reco/README.md').read_text()

    return call


def test_tables(build):
    page = build()
    log = record(NAME, 0, 50.0, 40.0).log_hash
    assert (f'| ReCo | `{NAME}` | 0 | 2000 | 40.00 | 50.00 (1000) | 90.00 '
            f'| 0.50 | 2048 | 2x NVIDIA H200 | {log} | 0123abcd |\n') in page
    # of 40 and 42, of 50 and 42; sample deviations
    assert ('| ReCo | mean and standard deviation | 0, 1 | 2000 '
            '| 41.00 ± 1.41 | 46.00 ± 5.66 | 90.00 ± 0.00 |  |  |  |  |  |\n'
            ) in page
    assert 'Not measured yet: other.\n<!-- /results -->' in page
    assert '| method | sky | road |\n' in page
    assert '| ReCo | 91.3 | 8.0 |\n' in page
    assert '    <!-- results: an example\n    -->\n    <!--' in page
    assert 'Before.' in page and 'After.' in page and 'old rows' not in page
    widths = {line.count('|') for line in page.splitlines()
              if (line.startswith('| ReCo |') and '±' in line)
              or line.startswith('| method | config')}
    assert len(widths) == 1


def test_second_call_changes_nothing(build, capsys):
    page = build()
    capsys.readouterr()
    assert build() == page and capsys.readouterr().out == ''
    build('--check')


def test_check_names_what_is_stale(build, project, capsys):
    build()
    save(project, record(f'{NAME}-s2', 2, 77.0))
    capsys.readouterr()
    with pytest.raises(SystemExit, match=r'run: python tools/build_model_zoo'):
        build('--check')
    assert capsys.readouterr().out == 'configs/reco/README.md\n'
    assert '77.00' not in (project / 'configs/reco/README.md').read_text()
    assert '77.00' in build()


def test_data_set_that_is_new(build, project):
    (project / 'configs/reco/reco_mbv2_1xb8-10e_ade20k-50l.py').touch()
    with pytest.raises(SystemExit, match=(
            'ade20k-50l starts with none of the data sets camvid, .*DATASE')):
        build()


def test_metafile(build, project):
    other = project / 'configs/reco/reco_mbv2_1xb8-10e_msrc21-112x112.py'
    other.write_text(f"start = 'work_dirs/{NAME}/iter_2000.pth'")
    build()
    index = yaml.safe_load((project / 'model-index.yml').read_text())
    assert index == dict(Import=['configs/reco/metafile.yml'])
    content = yaml.safe_load(
        (project / 'configs/reco/metafile.yml').read_text())
    collection, = content['Collections']
    assert collection['Name'] == 'ReCo'
    assert collection['Paper'] == dict(
        Title='Bootstrapping', URL='https://example.org/reco')
    assert collection['Metadata']['Training Data'] == ['CamVid', 'MSRC-21']
    measured, seed1, other = content['Models']
    assert measured['Name'] == NAME
    assert measured['Downstream'] == [other['Name']]
    assert 'Downstream' not in seed1
    assert measured['Config'] == f'configs/reco/{NAME}.py'
    assert measured['Alias'] == ['reco_camvid-120x160-20l']
    assert measured['Metadata'] == {
        'Training Data': 'CamVid', 'Batch Size': 8, 'Iterations': 4000,
        'Architecture': ['MobileNetV2', 'FCN'], 'Labeled Images': 20,
        'Training Resources': '2x NVIDIA H200', 'Memory (GB)': 2.0, 'Seed': 0}
    assert measured['Results'] == [dict(
        Task='Semantic Segmentation', Dataset='CamVid',
        Metrics={'mIoU': 40.0, 'mIoU (best)': 50.0})]
    assert measured['Training log'] == f'configs/reco/logs/{NAME}.json'
    assert seed1['Metadata']['Seed'] == 1
    assert 'Results' not in other and 'none are hosted' in other['Weights']
    assert other['Metadata']['Epochs'] == 10


def test_record_in_no_table_is_named(build, project, capsys):
    save(project, record('lost', 0, 1.0))
    build()
    assert 'lost.json is in no table' in capsys.readouterr().err


def test_broken_record(build, project):
    path = project / 'configs/reco/logs/broken.json'
    path.write_text('{"seed": 0}')
    with pytest.raises(SystemExit, match=r'broken\.json is not a record'):
        build()


@pytest.mark.parametrize('lines, message', [
    (f'ReCo {NAME}', "expected lines .* got 'ReCo "),
    (f'a: {NAME}\na: b', "one label each, got 'a: b'"),
    (f'a: {NAME} puzzle', r"by one metric, got \['mIoU', 'movable_acc'\]"),
])
def test_bad_table(build, project, lines, message):
    puzzle = record('puzzle', 0)
    puzzle.val = dict(movable_acc=Curve([5], [1.0]))
    save(project, puzzle)
    page = project / 'configs/reco/README.md'
    page.write_text(PAGE.split('<!--')[0] + '<!-- results: what\n' + lines
                    + '\n-->\n<!-- /results -->\n')
    with pytest.raises(SystemExit, match=r'README\.md: .*' + message):
        build()


def test_config_of_another_name(build, project):
    shutil.copy(project / f'configs/reco/{NAME}.py',
                project / 'configs/reco/my_config.py')
    with pytest.raises(SystemExit, match=r'not named .*: my_config\.py'):
        build()


def test_two_trainings_of_one_name(build, project):
    save(project, record(NAME, 0, 1.0), method='supervised')
    with pytest.raises(SystemExit, match='different trainings of one name'):
        build()
