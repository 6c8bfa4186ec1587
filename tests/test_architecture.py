"""Imports run one way, and one word names a method everywhere."""
import ast
from pathlib import Path

import pytest
from mmengine.model import BaseModel
from mmseg.registry import MODELS

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / 'mmseg_ssl'
SHARED = {'backbones', 'datasets', 'clustering', 'engine', 'evaluation',
          'visualization'}
# A method builds on another only where its paper does.
BUILDS_ON = {'reco': {'mean_teacher'}, 's4gan': {'mean_teacher'},
             'fs4': {'picie'}}
# The baseline of every method is a plain mmseg model: it has no package.
WITHOUT_PACKAGE = {'supervised'}


def imported_modules(source: str, package: str) -> set[str]:
    """Absolute names of all modules that a source imports, at any depth.

    Args:
        source (str): Python code.
        package (str): Dotted name of the package that it is in.
    """
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split('.')
            base = parents[:len(parents) - node.level + 1]
            module = '.'.join([*(base if node.level else []),
                               *([node.module] if node.module else [])])
            # ``from package import name`` may import a module, too
            found.update(f'{module}.{alias.name}' for alias in node.names)
    return found


def forbidden(package: str, module: str) -> bool:
    """Whether code in ``package`` must not import ``module``."""
    own, other = package.split('.'), module.split('.')
    if len(own) < 2 or other[:2] != ['mmseg_ssl', 'methods']:
        return False
    if own[1] in SHARED:
        return True
    if own[1] == 'methods' and len(own) > 2 and len(other) > 2:
        return other[2] not in {own[2], *BUILDS_ON.get(own[2], ())}
    return False


def violations() -> list[str]:
    found = []
    for path in PACKAGE.rglob('*.py'):
        package = '.'.join(path.relative_to(ROOT).parent.parts)
        found += [
            f'{path.relative_to(ROOT)} imports {module}'
            for module in imported_modules(path.read_text(), package)
            if forbidden(package, module)]
    return found


def method_words(folder: Path, prefix: str = '') -> set[str]:
    """Names of the sub-folders that hold something, without a prefix."""
    return {child.name.removeprefix(prefix) for child in folder.iterdir()
            if child.is_dir() and not child.name.startswith(('.', '__'))
            and child.name != '_base_' and any(child.glob('*.py'))}


def test_imports_run_one_way():
    assert violations() == []


@pytest.mark.parametrize('package, source, wrong', [
    ('mmseg_ssl.engine.hooks', 'import mmseg_ssl.methods.reco', True),
    ('mmseg_ssl.engine', 'from mmseg_ssl import methods', True),
    ('mmseg_ssl.datasets', 'from ..methods import reco', True),
    ('mmseg_ssl.evaluation',
     'def f():\n    from mmseg_ssl.methods.reco import ReCo', True),
    ('mmseg_ssl.methods.mean_teacher', 'import mmseg_ssl.methods.reco', True),
    ('mmseg_ssl.methods.reco', 'from ..mean_teacher import MeanTeacher',
     False),
    ('mmseg_ssl.methods.reco', 'from . import embedding_head', False),
    ('mmseg_ssl.methods.reco', 'from mmseg_ssl.engine import hooks', False),
    ('mmseg_ssl', 'from mmseg_ssl import methods', False),
    ('mmseg_ssl.datasets', 'from mmseg.models import build', False),
])
def test_wrong_imports_would_be_found(package, source, wrong):
    modules = imported_modules(source, package)
    assert any(forbidden(package, module) for module in modules) == wrong


def test_every_package_is_known():
    """A new package has to be given a place in the order."""
    packages = {path.parent.relative_to(PACKAGE).parts[0]
                for path in PACKAGE.rglob('*.py') if path.parent != PACKAGE}
    assert {'datasets', 'engine', 'methods'} <= packages
    assert packages <= SHARED | {'methods', 'apis'}


def trainable_methods() -> set[str]:
    """Methods that a config can name: their package registers a model."""
    return {model.__module__.split('.')[2]
            for model in MODELS.module_dict.values()
            if model.__module__.startswith('mmseg_ssl.methods.')
            and issubclass(model, BaseModel)}


def test_one_word_names_a_method_everywhere():
    methods = method_words(PACKAGE / 'methods')
    trainable = trainable_methods()
    assert {'mean_teacher', 'reco'} <= trainable <= methods
    assert method_words(ROOT / 'configs') == trainable | WITHOUT_PACKAGE
    assert method_words(ROOT / 'tests/test_methods', 'test_') == methods


def test_tests_mirror_the_package():
    tested = {child.name.removeprefix('test_')
              for child in (ROOT / 'tests').iterdir() if child.is_dir()}
    packages = {child.name for child in PACKAGE.iterdir()
                if child.is_dir() and len(list(child.glob('*.py'))) > 1}
    assert packages - {'methods'} <= tested
