#!/usr/bin/env bash
# Methods on photos, for docs/photos.md; FOLDER is the data root:
#   bash tools/photos_methods.sh FOLDER [options of tools/sweep.py, such as --jobs 2]
# Learning rates were chosen by the mean validation accuracy of the two datasets
# at 4 shots, sample 1.
set -euo pipefail
cd "$(dirname "$0")/.."
DATA=$1
OPTIONS=("${@:2}")

# NAME of a config, then its --cfg-options
sweep() {
    ${PYTHON:-python} tools/sweep.py "configs/$1.py" --clips photos:seed1 \
        --datasets caltech101 eurosat --data-root "$DATA" --work-dir work_dirs/photos_methods \
        "${OPTIONS[@]}" --cfg-options default_hooks.feature_cache.dtype=float16 "${@:2}"
}
