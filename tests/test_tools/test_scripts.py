"""The shell scripts: arguments, environment, the quick start as a whole."""
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = sorted([*(ROOT / 'tools').glob('*.sh'), ROOT / '.ci/run'])


def bash(script: str, cwd: Path = ROOT, **env: str) -> tuple[int, str]:
    """Run lines of bash; returns (exit code, output)."""
    process = subprocess.run(
        ['bash', '-c', script], cwd=cwd, env={**os.environ, **env}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=1500)
    return process.returncode, process.stdout


@pytest.mark.parametrize('script', SCRIPTS, ids=lambda path: path.name)
def test_syntax(script):
    assert bash(f'bash -n {script}') == (0, '')


@pytest.mark.parametrize('command', [
    'dist_train.sh config.py',
    'dist_test.sh config.py checkpoint.pth',
    'slurm_train.sh partition job',
    'slurm_test.sh partition job config.py',
    'quickstart.sh --data-root',
    'quickstart.sh --unknown',
])
def test_too_few_arguments_print_the_usage(command):
    code, output = bash(f'bash tools/{command}')
    assert code == 2
    assert f'bash tools/{command.split()[0]}' in output


@pytest.mark.parametrize('per_node, gpus', [('4', '--gres=gpu:4'),
                                            ('0', None)])
def test_slurm_command(tmp_path, per_node, gpus):
    srun = tmp_path / 'srun'
    srun.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    srun.chmod(0o755)
    code, output = bash(
        'bash tools/slurm_train.sh debug my_job config.py --amp',
        PATH=f'{tmp_path}:{os.environ["PATH"]}', GPUS='8', PYTHON='py',
        GPUS_PER_NODE=per_node, SRUN_ARGS='--qos=low --time=10')
    words = output.splitlines()
    assert code == 0
    assert words[words.index('-p') + 1] == 'debug'
    assert {'--job-name=my_job', '--ntasks=8', '--qos=low',
            '--time=10'} <= set(words)
    assert [word for word in words if word.startswith('--gres')] == (
        [gpus] if gpus else [])
    assert words[-7:] == ['py', '-u', 'tools/train.py', 'config.py', '--amp',
                          '--launcher', 'slurm']


@pytest.fixture
def project(tmp_path):
    """A folder whose .venv is the running interpreter."""
    (tmp_path / '.venv/bin').mkdir(parents=True)
    (tmp_path / '.venv/bin/python').symlink_to(sys.executable)
    (tmp_path / 'needs.txt').write_text('something==1\n')
    return tmp_path


def once(project: Path, command: str) -> tuple[int, str]:
    return bash(f'set -e; source {ROOT}/tools/_setup_env.sh; '
                f'_once needs.txt -- {command}', cwd=project)


def test_install_runs_once_per_content(project):
    assert once(project, 'echo did')[1].splitlines()[-1] == 'did'
    assert once(project, 'echo did') == (0, '')
    (project / 'needs.txt').write_text('something==2\n')
    assert once(project, 'echo did')[1].splitlines()[-1] == 'did'


def test_failed_install_is_repeated(project):
    assert once(project, 'false')[0] == 1
    assert once(project, 'echo did')[1].splitlines()[-1] == 'did'


def test_old_python_is_refused(tmp_path):
    old = tmp_path / 'python'
    old.write_text('#!/bin/sh\nexit 1\n')  # as sys.exit(True) does
    old.chmod(0o755)
    code, output = bash(f'source {ROOT}/tools/_setup_env.sh; setup_env',
                        cwd=tmp_path, PYTHON=str(old))
    assert code != 0
    assert 'Python 3.10 or newer is needed' in output
    assert not (tmp_path / '.venv').exists()


# ------------------------------ quick start ------------------------------

installed_by_script = pytest.mark.skipif(
    not list((ROOT / '.venv').glob('installed-*')),
    reason='would install an environment; run by tools/run_tests.sh')


@pytest.fixture
def checkout(tmp_path) -> Path:
    """The project elsewhere, with the environment it has here."""
    for name in ('mmseg_ssl', 'configs', 'tools'):
        shutil.copytree(ROOT / name, tmp_path / name, symlinks=True,
                        ignore=shutil.ignore_patterns('.mim', '__pycache__'))
    for name in ('requirements.txt', 'pyproject.toml', 'setup.py'):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / '.venv').symlink_to(ROOT / '.venv')
    return tmp_path


def check_page(checkout: Path, output: str) -> None:
    page = Path(output.splitlines()[-1])
    assert page.is_relative_to(checkout)
    text = page.read_text()
    assert 'Supervised' in text and 'ReCo + ClassMix' in text
    assert text.count('class="labels"') == 6 * 3  # truth and two nets


@installed_by_script
@pytest.mark.timeout(1800)
def test_quick_start(checkout):
    command = 'bash tools/quickstart.sh --iterations 2'
    code, output = bash(command, cwd=checkout)
    assert code == 0, output
    assert 'supervised: Iter(train) [2/2]' in output
    assert 'reco-classmix: Iter(train) [2/2]' in output
    check_page(checkout, output)

    code, output = bash(command, cwd=checkout)
    assert code == 0, output
    assert 'supervised: already trained' in output
    assert 'reco-classmix: already trained' in output
    assert 'Iter(train)' not in output
    check_page(checkout, output)


@installed_by_script
@pytest.mark.timeout(1800)
def test_quick_start_on_own_images(checkout, tmp_path):
    data = tmp_path / 'my photos'
    rng = np.random.default_rng(0)
    for split, count in (('train', 24), ('val', 6)):
        for folder in ('img_dir', 'ann_dir'):
            (data / folder / split).mkdir(parents=True)
        for i in range(count):
            labels = rng.integers(0, 11, (6, 8)).astype(np.uint8)
            labels = labels.repeat(20, 0).repeat(20, 1)
            image = np.stack([labels * 20] * 3, axis=2)
            Image.fromarray(image).save(data / 'img_dir' / split / f'{i}.jpg')
            Image.fromarray(labels).save(data / 'ann_dir' / split / f'{i}.png')
    code, output = bash(
        'bash ../tools/quickstart.sh --iterations 2 '
        '--data-root=../"my photos"', cwd=checkout / 'configs')
    assert code == 0, output
    assert 'choosing 20 labelled images' in output
    lists = list((checkout / 'work_dirs').rglob('20-seed0.txt'))
    assert len(lists[0].read_text().split()) == 20
    check_page(checkout, output)
