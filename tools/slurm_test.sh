#!/usr/bin/env bash
# Evaluate in a Slurm job.
#
#   [GPUS=8] [GPUS_PER_NODE=8] [CPUS_PER_TASK=5] [SRUN_ARGS=...] \
#       bash tools/slurm_test.sh PARTITION JOB_NAME CONFIG CHECKPOINT \
#       [TEST.PY ARGUMENTS]
#
# GPUS is the number of processes in all. GPUS_PER_NODE=0 asks for no GPU: the
# processes then compute on CPUs.
set -euo pipefail
if (( $# < 4 )); then
    sed -n '2,9s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
source "$(dirname "${BASH_SOURCE[0]}")/_slurm.sh"
slurm_run "$1" "$2" test.py "${@:3}"
