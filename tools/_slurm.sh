# shellcheck shell=bash
# Sourced by slurm_train.sh and slurm_test.sh.

slurm_run() {  # PARTITION JOB_NAME TOOL ARGUMENTS...
    local tools processes=${GPUS:-8} per_node=${GPUS_PER_NODE:-8} resources=()
    tools=$(dirname "${BASH_SOURCE[0]}")
    export PYTHONPATH="$tools/..${PYTHONPATH:+:$PYTHONPATH}"
    if (( per_node > 0 )); then
        resources=(--gres="gpu:$per_node" --ntasks-per-node="$per_node")
    fi
    # SRUN_ARGS is a list of options:
    # shellcheck disable=SC2086
    srun -p "$1" --job-name="$2" --ntasks="$processes" \
        --cpus-per-task="${CPUS_PER_TASK:-5}" --kill-on-bad-exit=1 \
        "${resources[@]}" ${SRUN_ARGS:-} \
        "${PYTHON:-python}" -u "$tools/$3" "${@:4}" --launcher slurm
}
