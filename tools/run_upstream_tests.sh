#!/usr/bin/env bash
# The fast tests on upstream's mmengine, mmcv and mmsegmentation.
#
#   bash tools/run_upstream_tests.sh [PYTEST ARGUMENTS]
#
# Makes .venv-upstream (Python 3.11 or 3.12) with requirements-upstream.txt
# and compiles mmcv 2.1.0 with its operators for the CPU, which takes about a
# quarter of an hour, once. Needs a C++ compiler.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
VENV=${VENV:-.venv-upstream}
source tools/_setup_env.sh
python=$(_find_python)
if ! "$python" -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))'; then
    echo "$python is not Python 3.11 or 3.12, which mmcv 2.1.0 and the pinned" \
        "numpy need; set PYTHON=/path/to/python3.12" >&2
    exit 1
fi
setup_env requirements-upstream.txt requirements-dev.txt

if ! python -c 'import mmcv._ext' 2> /dev/null; then
    echo '== environment: compiling mmcv'
    # no device in sight: setup.py would build for it. Tests need no fast
    # operators, and these compile faster with less optimisation and no symbols
    CUDA_VISIBLE_DEVICES='' MMCV_WITH_OPS=1 FORCE_CUDA=0 \
        CFLAGS='-O1 -g0' CXXFLAGS='-O1 -g0' python -m pip install \
        --no-build-isolation --no-binary mmcv mmcv==2.1.0
fi

# left out: what trains for minutes, and what makes environments and packages
export OMP_NUM_THREADS=1
python -m pytest -n 2 --dist loadfile \
    --ignore=tests/test_paper_configs.py --ignore=tests/test_package.py \
    --ignore=tests/test_tools/test_scripts.py "$@"
