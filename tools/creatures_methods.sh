#!/usr/bin/env bash
# Methods on the creatures, for docs/comparison.md:
#   bash tools/creatures_methods.sh [options of tools/sweep.py, such as --jobs 2]
# The small CLIP needs learning rates of its own, chosen by the mean validation
# accuracy of the four tasks at 4 shots, sample 1.
set -euo pipefail
cd "$(dirname "$0")/.."
OPTIONS=("$@")

# NAME of a config, then its --cfg-options
sweep() {
    ${PYTHON:-python} tools/sweep.py "configs/$1.py" --clips creatures-rn:seed1 \
        --datasets ears tail crest pattern --work-dir work_dirs/creatures_methods \
        "${OPTIONS[@]}" ${2:+--cfg-options} "${@:2}"
}

# LR ITERATIONS INDEX-OF-THE-SCHEDULE -> options of a training
train() {
    echo "optim_wrapper.optimizer.lr=$1 train_cfg.max_iters=$2 param_scheduler.$3.end=$2"
}

# The ears or the tail are on most of these crops, but on few of those of 0.08
CROPS="train_dataloader.dataset.pipeline.1.scale=(0.5,1) train_cfg.val_interval=50"
SAFE=$(train 3e-4 300 1)

for method in zero-shot calip tip-adapter tip-adapter-f linear-probe gda lp-plus-plus; do
    sweep $method
done
sweep task-res
sweep clap
sweep zs-lp
sweep prolip $(train 1e-4 300 0)
sweep clip-adapter $(train 2e-2 800 0)
sweep calip-fs $(train 1e-4 800 0)
sweep safe_creatures
sweep safe-a_creatures
for method in gda linear-probe lp-plus-plus prolip tuned-head class-name one-template \
    template-mining; do
    sweep safe_$method $SAFE
done
sweep safe_coop $SAFE optim_wrapper.paramwise_cfg.custom_keys.context.lr_mult=1
sweep cross-modal-linear $(train 1e-4 3200 1)
sweep cross-modal-adapter $(train 1e-4 3200 1)
sweep wise-head $(train 1e-4 3200 1)
sweep cross-modal-partial $(train 3e-4 300 1)
sweep fine-tune $SAFE
sweep clip-lora $(train 2e-3 300 0) $CROPS
sweep clip-svd $(train 5e-2 300 0) $CROPS
sweep clip-cite $(train 5e-5 100 0) $CROPS train_cfg.val_interval=25
sweep coop-m4 $(train 2e-1 300 1) $CROPS
sweep cocoop $(train 2e-2 300 1) $CROPS
sweep prograd $(train 2e-2 300 1) $CROPS
sweep coop-csc $(train 2e-2 300 1) $CROPS
sweep coop $(train 2e-3 300 1) $CROPS
# The curve of WiSE-FT at 16 shots, and its usual alpha at all
OPTIONS+=(--shots 16)
sweep full-fine-tune $(train 1e-4 300 1) "interpolations=[0,0.25,0.5,0.75,1]"
OPTIONS=("$@")
sweep full-fine-tune $(train 1e-4 300 1) "interpolations=[0.5]"
