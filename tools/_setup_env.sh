# shellcheck shell=bash
# Sourced by the scripts that need an environment, which is made on demand.
#
#   setup_env REQUIREMENTS...   makes .venv in the project with these files and
#                               the project itself; instant if nothing changed
#
# VENV names another folder. PYTHON names the interpreter to build on; by default the first of python3 and
# python3.10 to python3.13 that is new enough.

# Threads that spin while they wait cost 5 to 10 times the run time as soon as
# another process shares the cores; this makes them sleep.
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-PASSIVE}
export PIP_DISABLE_PIP_VERSION_CHECK=1
VENV=${VENV:-.venv}

_find_python() {
    local candidate candidates=("${PYTHON:-}")
    if [[ -z ${PYTHON:-} ]]; then
        candidates=(python3 python3.12 python3.11 python3.10 python3.13 python)
    fi
    for candidate in "${candidates[@]}"; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
                2> /dev/null; then
            command -v "$candidate"
            return
        fi
    done
    echo "Python 3.10 or newer is needed; set PYTHON=/path/to/python3" >&2
    return 1
}

_fingerprint() {  # of the interpreter and the contents of the files
    "$1" - "${@:2}" << 'EOF'
import hashlib, pathlib, sys
digest = hashlib.sha256(sys.version.encode())
for path in sys.argv[1:]:
    digest.update(pathlib.Path(path).read_bytes())
print(digest.hexdigest()[:16])
EOF
}

_once() {  # FILES... -- COMMAND...: unless it ran with these very files
    local files=() stamp
    while [[ $1 != -- ]]; do files+=("$1"); shift; done
    shift
    stamp=$VENV/installed-$(_fingerprint "$VENV/bin/python" "${files[@]}")
    [[ -e $stamp ]] && return
    echo "== environment: installing ${files[*]}"
    "$@" && touch "$stamp"
}

setup_env() {
    local base python=$VENV/bin/python file
    if ! "$python" -c '' 2> /dev/null; then
        base=$(_find_python)
        echo "== environment: creating $VENV with $base"
        if ! "$base" -m venv --clear "$VENV"; then
            echo "$base cannot make a virtual environment; on Debian and" \
                "Ubuntu: apt-get install python3-venv" >&2
            return 1
        fi
    fi
    for file in "$@"; do
        _once "$file" -- "$python" -m pip install -r "$file"
    done
    # opencv-python draws windows and needs libGL, which a server may lack;
    # the headless build is the same without, but nothing depends on its name.
    if ! "$python" -c 'import cv2' 2> /dev/null; then
        echo '== environment: OpenCV without libGL'
        "$python" -m pip install --force-reinstall --no-deps \
            "$(sed -n 's/^opencv-python==/opencv-python-headless==/p' requirements.txt)"
    fi
    _once pyproject.toml setup.py -- \
        "$python" -m pip install --no-deps --no-build-isolation -e .
    source "$VENV/bin/activate"
}
