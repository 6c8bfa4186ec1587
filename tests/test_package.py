"""Version gates, registration, and what a built package contains."""
import os
import pickle
import re
import shutil
import subprocess
import sys
import sysconfig
import types
import zipfile
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.config import utils as config_utils
from mmengine.logging import HistoryBuffer
from mmengine.utils import is_installed
from mmseg.registry import DATASETS, HOOKS, LOOPS, MODELS

from mmseg_ssl import compatibility

ROOT = Path(__file__).resolve().parents[1]
MMCV = compatibility.Requirement('mmcv', 'onedl-mmcv', '2.0.0', '2.4.0')


@pytest.mark.parametrize('text, numbers', [
    ('2.14.1+cpu', (2, 14, 1)),
    ('2.0.0rc4', (2, 0, 0)),
    ('10', (10, )),
])
def test_parse_version(text, numbers):
    assert compatibility.parse_version(text) == numbers


def test_parse_version_of_nonsense():
    with pytest.raises(ValueError, match="'unknown' is not a version"):
        compatibility.parse_version('unknown')


@pytest.mark.parametrize('version', ['1.7.2', '2.4.0', '3.0'])
def test_unsupported_version(monkeypatch, version):
    module = types.SimpleNamespace(__version__=version)
    monkeypatch.setattr(compatibility.importlib, 'import_module',
                        lambda name: module)
    with pytest.raises(ImportError) as error:
        compatibility.check_requirement(MMCV)
    message = str(error.value)
    assert f'mmcv {version} is installed' in message
    assert 'mmcv>=2.0.0,<2.4.0"' in message.split('pip install', 1)[1]
    assert '\n' not in message


@pytest.mark.parametrize('version', ['2.0.0', '2.3.6', '2.2.0+cu121'])
def test_supported_version(monkeypatch, version):
    module = types.SimpleNamespace(__version__=version)
    monkeypatch.setattr(compatibility.importlib, 'import_module',
                        lambda name: module)
    compatibility.check_requirement(MMCV)


@pytest.mark.parametrize('error', [
    AssertionError('MMCV==2.2.0 is used but incompatible.'),
    ModuleNotFoundError("No module named 'mmcv._ext'", name='mmcv._ext'),
])
def test_package_that_does_not_import(monkeypatch, error):

    def fail(name):
        raise error

    monkeypatch.setattr(compatibility.importlib, 'import_module', fail)
    with pytest.raises(ImportError, match='cannot be imported') as caught:
        compatibility.check_requirement(
            compatibility.Requirement('mmseg', 'onedl-mmsegmentation',
                                      '1.2.0', '2.0.0'))
    assert str(error).rstrip('.') in str(caught.value)
    assert 'pip uninstall' in str(caught.value)


@pytest.mark.parametrize('module, distribution', [
    ('torch', 'torch'),
    ('mmengine', 'onedl-mmengine'),
    ('mmcv', 'onedl-mmcv'),
    ('mmseg', 'onedl-mmsegmentation'),
    ('mmpretrain', 'onedl-mmpretrain'),
])
def test_import_without_a_package_is_one_sentence(module, distribution):
    """As seen by who types ``import mmseg_ssl``."""
    code = f"""
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            raise ModuleNotFoundError('No module', name=name)
sys.meta_path.insert(0, Missing())
try:
    import mmseg_ssl
except ImportError as error:
    print(error)
"""
    process = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', code], cwd=ROOT,
        capture_output=True, text=True, timeout=120)
    line = process.stdout.splitlines()[-1]
    assert line.startswith(f'mmseg_ssl needs {module}>=')
    assert f'pip install "{distribution}>=' in line
    assert process.stderr == ''


def test_classes_are_registered_in_mmseg():
    assert MODELS.get('MeanTeacher') and MODELS.get('ReCo')
    assert DATASETS.get('SemiSegDataset')
    assert HOOKS.get('MeanTeacherHook') and LOOPS.get('TeacherStudentValLoop')
    assert config_utils.MODULE2PACKAGE['mmseg_ssl'] == 'mmseg_ssl'


@pytest.mark.parametrize('base, model', [
    ('mmseg::fcn/fcn_r50-d8_4xb2-40k_cityscapes-512x1024.py',
     'EncoderDecoder'),
    ('mmpretrain::mocov2/mocov2_resnet50_8xb32-coslr-200e_in1k.py', 'MoCo'),
    ('mmseg_ssl::reco/reco_r101-d16-deeplabv3plus_1xb10-40k_sunrgbd.py',
     'EncoderDecoder')])
def test_configs_of_installed_packages_are_bases(tmp_path, base, model):
    """Of whichever family; pip is not asked for another one."""
    path = tmp_path / 'config.py'
    path.write_text(f'_base_ = {base!r}\n')
    assert Config.fromfile(path).model.type == model


def test_logged_values_load_safely(tmp_path):
    """Also with mmengine 0.10.7, which trusts nothing of its own."""
    compatibility.allow_logged_values()
    buffer = HistoryBuffer()
    for value in (1, 2.5, 4):
        buffer.update(value)
    torch.save(dict(message_hub=dict(log_scalars=dict(loss=buffer))),
               tmp_path / 'checkpoint.pth')
    hub = torch.load(tmp_path / 'checkpoint.pth', weights_only=True)
    loaded = hub['message_hub']['log_scalars']['loss']
    assert loaded.mean(3) == buffer.mean(3) == 2.5
    assert loaded.current() == 4


class _Lookup:
    """Pickled as a call of ``getattr``."""

    def __init__(self, *args) -> None:
        self.args = args

    def __reduce__(self):
        return getattr, self.args


@pytest.mark.parametrize('args', [
    (_Lookup(getattr, '__self__'), 'eval'),  # what runs code
    (HistoryBuffer, '__init__'), (HistoryBuffer, 'mro'),
    ('HistoryBuffer', 'mean')])
def test_safe_loading_stays_safe(tmp_path, args):
    """Files may not look up what they like, as getattr itself would."""
    compatibility.allow_logged_values()  # which mmengine's loader takes back
    torch.save(_Lookup(*args), tmp_path / 'checkpoint.pth')
    with pytest.raises(pickle.UnpicklingError, match='may not look up'):
        torch.load(tmp_path / 'checkpoint.pth', weights_only=True)


def test_checkpoints_with_numpy_scalars_load_safely(tmp_path):
    import numpy as np

    # mmengine's loader takes back what it trusted once it has loaded, so a
    # test that loaded a checkpoint before this one would decide it
    compatibility.allow_logged_values()
    path = tmp_path / 'checkpoint.pth'
    dtypes = [np.dtype(code) for code in ('f4', 'f8', 'i8', 'u1', '?')]
    torch.save([np.zeros(2, dtype) for dtype in dtypes], path)
    reconstruct = np.zeros(0).__reduce__()[0]
    with torch.serialization.safe_globals(
            [np.ndarray, np.dtype, reconstruct]):
        arrays = torch.load(path, weights_only=True)
    assert [array.dtype for array in arrays] == dtypes


@pytest.fixture(scope='module')
def source_tree(tmp_path_factory) -> Path:
    """The files that make the package, without what is not in git."""
    tree = tmp_path_factory.mktemp('source')
    for name in ('mmseg_ssl', 'configs', 'tools'):
        shutil.copytree(ROOT / name, tree / name, symlinks=True,
                        ignore=shutil.ignore_patterns('.mim', '__pycache__'))
    for path in ROOT.iterdir():
        if path.is_file():
            shutil.copy(path, tree)
    return tree


def build(tree: Path, hook: str, out: Path) -> Path:
    """Call a build hook of PEP 517 as pip does; returns what it wrote."""
    out.mkdir()
    code = (f'from setuptools import build_meta; '
            f'print(build_meta.{hook}({str(out)!r}))')
    process = subprocess.run(
        [sys.executable, '-c', code], cwd=tree, capture_output=True,
        text=True, timeout=300)
    assert process.returncode == 0, process.stderr
    return out / process.stdout.splitlines()[-1]


def files_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob('*')
            if path.is_file() and '__pycache__' not in path.parts}


def test_wheel_ships_configs_and_tools(source_tree, tmp_path):
    wheel = build(source_tree, 'build_wheel', tmp_path / 'out')
    names = zipfile.ZipFile(wheel).namelist()
    expected = {f'{folder}/{name}' for folder in ('configs', 'tools')
                for name in files_in(source_tree / folder)}
    assert {'configs/_base_/splits/camvid/20-seed0.txt',
            'configs/reco/metafile.yml', 'tools/train.py'} <= expected
    # where mmengine looks, and where onedl-mim does
    info, = {name.split('/')[0] for name in names
             if name.split('/')[0].endswith('.dist-info')}
    for mim in ('mmseg_ssl/.mim/', f'{info}/.mim/'):
        shipped = {name.removeprefix(mim) for name in names
                   if name.startswith(mim)}
        assert shipped == expected | {'model-index.yml'}
    assert 'mmseg_ssl/visualization/templates/report.html' in names
    assert not [name for name in names if name.startswith('tests/')]


def test_wheel_requires_no_openmmlab_package(source_tree, tmp_path):
    wheel = zipfile.ZipFile(
        build(source_tree, 'build_wheel', tmp_path / 'out'))
    metadata, = (name for name in wheel.namelist()
                 if name.endswith('.dist-info/METADATA'))
    required = re.findall(r'^Requires-Dist: ([\w-]+)(?!.*extra)',
                          wheel.read(metadata).decode(), re.MULTILINE)
    assert 'torch' in required
    assert not [name for name in required
                if re.match(r'(onedl-)?mm(cv|engine|seg|pretrain)', name)]


def test_sdist_builds_the_same_wheel(source_tree, tmp_path):
    sdist = build(source_tree, 'build_sdist', tmp_path / 'sdist')
    shutil.unpack_archive(sdist, tmp_path / 'unpacked')
    unpacked, = (tmp_path / 'unpacked').iterdir()
    wheels = [build(tree, 'build_wheel', tmp_path / name)
              for tree, name in ((source_tree, 'a'), (unpacked, 'b'))]
    contents = [set(zipfile.ZipFile(wheel).namelist()) for wheel in wheels]
    assert contents[0] == contents[1]


def test_editable_install_links_to_the_checkout(source_tree, tmp_path):
    build(source_tree, 'build_editable', tmp_path / 'out')
    for name in ('configs', 'tools', 'model-index.yml'):
        link = source_tree / 'mmseg_ssl' / '.mim' / name
        assert link.is_symlink()
        assert link.resolve() == source_tree / name
    wheel, = (tmp_path / 'out').glob('*.whl')
    assert not [name for name in zipfile.ZipFile(wheel).namelist()
                if '/.mim/' in name]


CONFIG = 'supervised_mbv2-d16-deeplabv3plus_1xb8-1k_scenes-10l'
SHORT = ('train_cfg.max_iters=2', 'default_hooks.logger.interval=1')


class Elsewhere:
    """A folder with an environment of its own, where our wheel is installed.

    What the wheel needs comes from the environment of the tests, all but
    ``mmseg_ssl`` itself.
    """

    def __init__(self, folder: Path, wheel: Path) -> None:
        self.folder = folder
        subprocess.run([sys.executable, '-m', 'venv', folder / 'venv'],
                       check=True, timeout=300)
        self.python('-m', 'pip', 'install', '--no-deps', '--no-index', wheel)
        site, = folder.glob('venv/lib/python*/site-packages')
        self.mim = site / 'mmseg_ssl/.mim'
        # --system-site-packages would be those below an environment; .pth
        # files in these are not read, hence no editable install is seen
        paths = sysconfig.get_paths()
        (site / 'tests.pth').write_text(
            f'{paths["purelib"]}\n{paths["platlib"]}\n')

    def python(self, *arguments: str | Path) -> str:
        """Run Python in the folder; returns what it printed."""
        environment = {name: value for name, value in os.environ.items()
                       if name != 'PYTHONPATH'}
        process = subprocess.run(
            [self.folder / 'venv/bin/python', '-W', 'ignore', *arguments],
            cwd=self.folder, env=environment, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=600)
        assert process.returncode == 0, process.stdout
        return process.stdout


@pytest.fixture(scope='module')
def elsewhere(source_tree, tmp_path_factory) -> Elsewhere:
    """Our wheel, installed beside 300 scenes to train on."""
    pytest.importorskip('ensurepip')
    folder = tmp_path_factory.mktemp('elsewhere')
    wheel = build(source_tree, 'build_wheel', folder / 'wheel')
    place = Elsewhere(folder, wheel)
    place.python(place.mim / 'tools/dataset_tools/make_scenes.py',
                 '--num-val', '2')
    return place


@pytest.mark.timeout(1800)
def test_installed_wheel_trains_outside_the_source_tree(elsewhere):
    where = elsewhere.python('-c', 'import mmseg_ssl; print(mmseg_ssl)')
    assert str(elsewhere.mim.parent) in where
    output = elsewhere.python(
        elsewhere.mim / 'tools/train.py',
        elsewhere.mim / f'configs/supervised/{CONFIG}.py', '--work-dir',
        'trained', '--cfg-options', *SHORT)
    assert 'Iter(train) [2/2]' in output
    assert (elsewhere.folder / 'trained/iter_2.pth').is_file()


@pytest.mark.timeout(1800)
def test_mim_trains_tests_and_searches(elsewhere):
    """The commands of docs/install.md."""
    pytest.importorskip('mim')
    output = elsewhere.python(
        '-m', 'mim', 'train', 'mmseg_ssl', f'{CONFIG}.py', '--cfg-options',
        'data_root=data/scenes', *SHORT)
    assert 'Iter(train) [2/2]' in output
    assert 'Training finished successfully' in output
    output = elsewhere.python(
        '-m', 'mim', 'test', 'mmseg_ssl', f'{CONFIG}.py', '--checkpoint',
        f'work_dirs/{CONFIG}/iter_2.pth', '--cfg-options',
        'data_root=data/scenes')
    assert 'mIoU' in output
    output = elsewhere.python(
        '-m', 'mim', 'search', 'mmseg_ssl', '--model', 'reco')
    assert 'config id: reco-classmix' in output


@pytest.mark.skipif(not is_installed('mmseg_ssl'),
                    reason='the package is not installed')
def test_configs_elsewhere_can_inherit_ours(tmp_path):
    name = 'supervised/supervised_mbv2-d16-deeplabv3plus_1xb8-1k_scenes-10l.py'
    config = tmp_path / 'mine.py'
    config.write_text(f"_base_ = 'mmseg_ssl::{name}'\nmax_iters = 7\n")
    cfg = Config.fromfile(config)
    assert cfg.max_iters == 7 and cfg.num_classes == 8


def test_files_of_the_manifest_exist():
    lines = (ROOT / 'MANIFEST.in').read_text().splitlines()
    patterns = [pattern for line in lines if line.startswith('include ')
                for pattern in line.split()[1:]]
    assert 'model-index.yml' in patterns
    assert [p for p in patterns if not any(ROOT.glob(p))] == []


def test_requirement_files_pin_the_tested_set():
    lines = (ROOT / 'requirements.txt').read_text().splitlines()
    pinned = [line for line in lines if line and not line.startswith('#')]
    assert all('==' in line for line in pinned)
    names = {line.split('==')[0] for line in pinned}
    assert {'torch', 'torchvision', 'onedl-mmengine', 'onedl-mmcv',
            'onedl-mmsegmentation'} <= names
