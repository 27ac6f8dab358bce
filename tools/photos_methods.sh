#!/usr/bin/env bash
# Methods on photos, for docs/photos.md; FOLDER is the data root:
#   bash tools/photos_methods.sh FOLDER [options of tools/sweep.py, such as --jobs 2]
# Learning rates were chosen by the mean validation accuracy of the two datasets
# at 4 shots, docs/photos.md says how.
set -euo pipefail
DATA=$(realpath "${1:?usage: photos_methods.sh FOLDER [OPTIONS]}")
OPTIONS=("${@:2}")
cd "$(dirname "$0")/.."

# NAME of a config, then its --cfg-options; DATASETS and SHOTS may be set
sweep() {
    ${PYTHON:-python} tools/sweep.py "configs/$1.py" --clips photos:seed1 \
        --datasets ${DATASETS:-caltech101 eurosat} --shots ${SHOTS:-1 2 4 8 16} \
        --data-root "$DATA" --work-dir work_dirs/photos_methods \
        "${OPTIONS[@]}" ${2:+--cfg-options} "${@:2}"
}

# LR ITERATIONS INDEX-OF-THE-SCHEDULE -> options of a training
train() {
    echo "optim_wrapper.optimizer.lr=$1 train_cfg.max_iters=$2 param_scheduler.$3.end=$2"
}

# Two random views of an image for all methods that take some
VIEWS="train_dataloader.dataset.views=2"
CROPS="$VIEWS train_dataloader.dataset.pipeline.1.scale=(0.5,1)"
SAFE="$(train 1e-3 300 1) train_dataloader.batch_size=32 train_cfg.val_interval=50"

sweep zero-shot
sweep safe $SAFE
sweep linear-probe
sweep linear-probe_trunk
sweep clip-adapter $(train 1.0 800 0)
sweep cross-modal-linear $(train 1e-3 3200 1)
for method in tip-adapter tip-adapter-f gda lp-plus-plus; do
    sweep $method $VIEWS
done
sweep prolip $(train 1e-3 300 0) $VIEWS
sweep safe-a $SAFE
for method in gda linear-probe lp-plus-plus tuned-head prolip; do
    sweep safe_$method $SAFE
done

# DATASET, SHOTS, ITERATIONS: 50 epochs at 1 shot, 100 at 2 and 4, 200 at 8 and 16,
# as published, but at least 400 iterations
coop() {
    DATASETS=$1 SHOTS=$2 sweep coop-m4 $(train 2e-2 $3 1) $CROPS train_cfg.val_interval=100
}
coop eurosat "1 2 4" 400
coop eurosat 8 600
coop eurosat 16 1000
coop caltech101 1 400
coop caltech101 2 700
coop caltech101 4 1300
coop caltech101 "8 16" 400 # not 5,000 and 10,000, which take hours
