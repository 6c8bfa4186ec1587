"""Settings of Sphinx; ``bash tools/build_docs.sh`` builds the pages.

The source is the whole project, so that READMEs beside the configs are pages
and links between files are the same here and in a repository browser.
"""
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import mmseg_ssl  # noqa: E402  (from this checkout)

project = 'mmseg_ssl'
author = 'the authors of mmseg_ssl'
release = version = mmseg_ssl.__version__

extensions = [
    'myst_parser', 'sphinx.ext.autodoc', 'sphinx.ext.napoleon']
root_doc = 'docs/index'
include_patterns = [
    'README.md', 'docs/**.md', 'configs/*/README.md', 'CHANGELOG.md',
    'CONTRIBUTING.md']
# not even looked into
exclude_patterns = [
    '.*', '*.egg-info', 'build', 'data', 'dist', 'mmseg_ssl', 'tests',
    'tools', 'work_dirs', 'configs/_base_']

myst_heading_anchors = 4  # #some-heading, as in a repository browser
highlight_language = 'none'
autodoc_inherit_docstrings = False
autodoc_member_order = 'bysource'
autodoc_typehints = 'signature'
napoleon_numpy_docstring = False
napoleon_use_ivar = True

html_theme = 'furo'
html_title = f'mmseg_ssl {release}'
html_extra_path = ['html_root']  # index.html, which leads to root_doc
html_copy_source = False
html_static_path: list[str] = []

# links to a folder of configs, as a browser of the repository shows it
FOLDER = re.compile(r'\]\(((?:\.\./)*configs/\w+)/?(#[\w-]+)?\)')


def link_readmes(app: object, docname: str, source: list[str]) -> None:
    """Let links to folders lead to the pages made from their READMEs."""
    source[0] = FOLDER.sub(r'](\1/README.md\2)', source[0])


def setup(app: object) -> None:
    """Called by Sphinx."""
    app.connect('source-read', link_readmes)
