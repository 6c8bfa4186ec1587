#!/usr/bin/env bash
# Train with several processes on this machine: on GPUs, or on CPUs (gloo).
#
#   bash tools/dist_train.sh CONFIG PROCESSES [TRAIN.PY ARGUMENTS]
#
# Several machines: set NNODES, NODE_RANK and MASTER_ADDR. A second run on the
# same machine needs another PORT.
set -euo pipefail
if (( $# < 2 )); then
    sed -n '2,7s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
tools=$(dirname "${BASH_SOURCE[0]}")
export PYTHONPATH="$tools/..${PYTHONPATH:+:$PYTHONPATH}"
exec "${PYTHON:-python}" -m torch.distributed.run \
    --nnodes="${NNODES:-1}" --node_rank="${NODE_RANK:-0}" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" --master_port="${PORT:-29500}" \
    --nproc_per_node="$2" \
    "$tools/train.py" "$1" --launcher pytorch "${@:3}"
