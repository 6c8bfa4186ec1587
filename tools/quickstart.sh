#!/usr/bin/env bash
# From a fresh machine to a model trained with few labels, and a report.
#
#   bash tools/quickstart.sh [--data-root DIR] [--iterations N]
#
# Makes .venv, paints the embedded data set (10 labelled images, 300 without
# labels), trains ReCo + ClassMix beside a supervised run with the same labels
# and writes one HTML page; its path is the last line. DIR is a folder of your
# own in CamVid's layout and with its classes: img_dir/{train,val}/NAME.jpg,
# ann_dir/{train,val}/NAME.png; 20 of its images are then labelled. Runs are N
# (1000) iterations long. A second call reuses what is there and goes on where
# an interrupted one stopped.
set -euo pipefail

usage() { sed -n '2,13s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; }

data_root=
iterations=1000
while (( $# )); do
    case $1 in
        --data-root=*) data_root=${1#*=}; shift ;;
        --data-root)
            [[ $# -ge 2 ]] || { usage >&2; exit 2; }
            data_root=$2; shift 2 ;;
        --iterations=*) iterations=${1#*=}; shift ;;
        --iterations)
            [[ $# -ge 2 ]] || { usage >&2; exit 2; }
            iterations=$2; shift 2 ;;
        -h | --help) usage; exit ;;
        *) echo "unknown argument: $1" >&2; usage >&2; exit 2 ;;
    esac
done
if [[ ! $iterations =~ ^[1-9][0-9]*$ ]]; then
    echo "--iterations must be a number from 1, but got: $iterations" >&2
    exit 2
fi
if [[ -n $data_root ]]; then
    data_root=$(cd "$data_root" && pwd)  # the caller's folder, before cd
fi

cd "$(dirname "${BASH_SOURCE[0]}")/.."
source tools/_setup_env.sh
setup_env requirements.txt
export PYTHONWARNINGS=ignore

# ---- what to train on -------------------------------------------------------
net=mbv2-d16-deeplabv3plus
interval=$(( iterations > 5 ? iterations / 5 : 1 ))
options=("train_cfg.max_iters=$iterations" "train_cfg.val_interval=$interval"
         "param_scheduler.0.end=$iterations"
         "default_hooks.logger.interval=$(( interval < 20 ? interval : 20 ))"
         "default_hooks.checkpoint.interval=$interval")
supervised_options=() reco_options=()
if [[ -z $data_root ]]; then
    work=work_dirs/quickstart/scenes-$iterations
    supervised=configs/supervised/supervised_${net}_1xb8-1k_scenes-10l.py
    reco=configs/reco/reco-classmix_${net}_1xb4-1k_scenes-10l.py
    echo '== data: painted scenes'
    python tools/dataset_tools/make_scenes.py data/scenes
else
    name=$(basename "$data_root")-$(cksum <<< "$data_root" | cut -d' ' -f1)
    work=work_dirs/quickstart/$name-$iterations
    supervised=configs/supervised/supervised_${net}_1xb8-4k_camvid-120x160-20l.py
    reco=configs/reco/reco-classmix_${net}_1xb4-4k_camvid-120x160-20l.py
    labels=configs/_base_/splits/camvid/20-seed0.txt
    while read -r image; do
        if [[ ! -e $data_root/img_dir/train/$image.jpg ]]; then
            labels=work_dirs/quickstart/$name-splits/20-seed0.txt
        fi
    done < "$labels"
    if [[ ! -e $labels ]]; then
        echo "== data: choosing 20 labelled images of $data_root"
        python tools/dataset_tools/make_label_lists.py CamVidDataset \
            "$data_root" "$(dirname "$labels")" --num-labeled 20 \
            --min-classes 3 --seeds 0
    fi
    options+=("data_root=$data_root")
    supervised_options=("train_dataloader.dataset.ann_file=$PWD/$labels")
    reco_options=("train_dataloader.dataset.labeled.ann_file=$PWD/$labels")
fi

# ---- train, both at once, each with half of the cores -----------------------
cores=$(python -c 'import os; print(len(os.sched_getaffinity(0)))' \
    2> /dev/null || echo 2)
export OMP_NUM_THREADS=$(( cores > 1 ? cores / 2 : 1 ))

train() {  # NAME CONFIG [CFG_OPTION...]: a line of progress every few seconds
    local name=$1 config=$2 dir=$work/$1
    shift 2
    if [[ -e $dir/iter_$iterations.pth ]]; then
        echo "$name: already trained"
        return
    fi
    mkdir -p "$dir"
    if ! python tools/train.py "$config" --work-dir "$dir" --resume \
            --cfg-options "${options[@]}" "$@" 2>&1 \
            | tee -a "$dir/output.txt" \
            | awk -v name="$name" '/Iter\(train\)|Iter\(val\).*mIoU/ {
                  sub(/.*INFO - /, "")
                  gsub(/ +(lr|time|data_time|memory): [^ ]+/, "")
                  print name ": " $0; fflush() }'; then
        tail -n 20 "$dir/output.txt" >&2
        echo "$name: failed; all of its output is in $dir/output.txt" >&2
        return 1
    fi
}

echo "== training: $iterations iterations each, two runs side by side"
set -m  # a process group for each run, so that an interrupt ends all of it
train supervised "$supervised" \
    ${supervised_options[@]+"${supervised_options[@]}"} &
supervised_job=$!
train reco-classmix "$reco" ${reco_options[@]+"${reco_options[@]}"} &
reco_job=$!
set +m  # and wait until they end, not until someone pauses one
trap 'kill -- "-$supervised_job" "-$reco_job" 2> /dev/null || true' EXIT
wait "$supervised_job"
wait "$reco_job"
trap - EXIT

# ---- compare ----------------------------------------------------------------
echo '== report'
python tools/analysis_tools/report.py "$work/report.html" \
    --title 'Few labels: supervised and ReCo + ClassMix' \
    --run "Supervised=$work/supervised" \
    --run "ReCo + ClassMix=$work/reco-classmix"
