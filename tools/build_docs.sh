#!/usr/bin/env bash
# The pages of the documentation, from docs/, the READMEs and the docstrings.
#
#   bash tools/build_docs.sh [FOLDER]
#
# Makes .venv on demand and writes to FOLDER (build/docs), whose index.html is
# the last line. A warning (a dead link, a docstring that cannot be read) is an
# error.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source tools/_setup_env.sh
setup_env requirements.txt requirements-docs.txt
out=${1:-build/docs}
python -W ignore -m sphinx -q --fail-on-warning --keep-going \
    --doctree-dir build/doctrees -c docs . "$out"
echo "$out/index.html"
