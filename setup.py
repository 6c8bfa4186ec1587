"""Put configs and tools into the package; metadata is in pyproject.toml.

OpenMMLab's tools look for ``<package>/.mim/{configs,tools,model-index.yml}``:
``_base_ = 'mmseg_ssl::...'``, inferencers and ``mim train`` read them there.
"""
import shutil
from collections.abc import Callable
from pathlib import Path

from setuptools import setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
MIM_ENTRIES = ('configs', 'tools', 'model-index.yml')


def copy(source: Path, target: Path) -> None:
    """Copy a file or a folder, without what running it has left behind."""
    if source.is_dir():
        shutil.copytree(
            source, target, ignore=shutil.ignore_patterns('__pycache__'))
    else:
        shutil.copy2(source, target)


def link(source: Path, target: Path) -> None:
    """Link to ``source``; copy it where links are not allowed (Windows)."""
    try:
        target.symlink_to(source, target_is_directory=source.is_dir())
    except OSError:
        copy(source, target)


def fill(mim: Path, put: Callable[[Path, Path], None]) -> None:
    """Make ``mim`` anew, each entry by ``put(source, target)``."""
    shutil.rmtree(mim, ignore_errors=True)
    mim.mkdir(parents=True)
    for entry in MIM_ENTRIES:
        source = ROOT / entry
        if source.exists():
            put(source.resolve(), mim / entry)


class BuildPyWithMim(build_py):
    """``build_py`` that also fills ``mmseg_ssl/.mim``.

    An editable install links to the checkout, any other one copies. This is a
    step of the build itself and not keyed on ``sys.argv``, because pip calls
    ``editable_wheel`` and never ``develop``.
    """

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            fill(ROOT / 'mmseg_ssl' / '.mim', link)
        else:
            fill(Path(self.build_lib) / 'mmseg_ssl' / '.mim', copy)


class BdistWheelWithMim(bdist_wheel):
    """``bdist_wheel`` that also fills ``.mim`` in the ``*.dist-info`` folder.

    onedl-mim 0.5 takes the folder of the first file an installation recorded
    for that of the package. Records are sorted, so for a distribution that is
    called as its module it is ``*.dist-info``.
    """

    def write_wheelfile(self, wheelfile_base: str, *args: str) -> None:
        super().write_wheelfile(wheelfile_base, *args)
        if Path(wheelfile_base).is_relative_to(self.bdist_dir):
            fill(Path(wheelfile_base) / '.mim', copy)  # not editable


setup(cmdclass={'build_py': BuildPyWithMim, 'bdist_wheel': BdistWheelWithMim})
