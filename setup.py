"""Put configs and tools into the package; metadata is in pyproject.toml.

OpenMMLab's tools look for ``<package>/.mim/{configs,tools,model-index.yml}``:
``_base_ = 'mmseg_ssl::...'``, inferencers and ``mim train`` read them there.
"""
import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
MIM_ENTRIES = ('configs', 'tools', 'model-index.yml', 'dataset-index.yml')


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


class BuildPyWithMim(build_py):
    """``build_py`` that also fills ``mmseg_ssl/.mim``.

    An editable install links to the checkout, any other one copies. This is a
    step of the build itself and not keyed on ``sys.argv``, because pip calls
    ``editable_wheel`` and never ``develop``.
    """

    def run(self) -> None:
        super().run()
        editable = getattr(self, 'editable_mode', False)
        base = ROOT if editable else Path(self.build_lib)
        mim = base / 'mmseg_ssl' / '.mim'
        shutil.rmtree(mim, ignore_errors=True)
        mim.mkdir(parents=True)
        for entry in MIM_ENTRIES:
            source = ROOT / entry
            if source.exists():
                (link if editable else copy)(source.resolve(), mim / entry)


setup(cmdclass={'build_py': BuildPyWithMim})
