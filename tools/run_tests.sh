#!/usr/bin/env bash
# Lint, types, documentation and all tests, from nothing but Python and git.
#
#   bash tools/run_tests.sh [PYTEST ARGUMENTS]
#
# Tests on real images read $MMSEG_SSL_DATA_ROOT (folders camvid/ and msrc21/)
# and are skipped where it is not set.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source tools/_setup_env.sh
setup_env requirements.txt requirements-dev.txt requirements-docs.txt

failed=()
for check in 'ruff check .' mypy codespell 'bash tools/build_docs.sh'; do
    echo "== $check"
    $check || failed+=("$check")
done

echo "== pytest"
# tests are many and small: two workers with a thread each (-n 0: one process)
OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} python -m pytest -n 2 --dist loadfile "$@" \
    || failed+=(pytest)

if (( ${#failed[@]} )); then
    echo "Failed: ${failed[*]}" >&2
    exit 1
fi
