#!/usr/bin/env bash
# bash tools/slurm_sweep.sh PARTITION JOB_NAME JOBS [configs and options of
# sweep.py]. JOBS jobs of one GPU each execute a shard of the runs; --work-dir is
# on a file system that all nodes see. CPUS_PER_TASK and SBATCH_ARGS are read
# from the environment.
set -euo pipefail
PARTITION=$1
JOB_NAME=$2
JOBS=$3

# shellcheck disable=SC2086
sbatch -p "$PARTITION" --job-name="$JOB_NAME" --array="1-$JOBS" \
    --gres=gpu:1 --ntasks=1 --cpus-per-task="${CPUS_PER_TASK:-5}" \
    ${SBATCH_ARGS:-} <<EOF
#!/usr/bin/env bash
exec $(printf '%q ' python -u "$(dirname "$0")/sweep.py" "${@:4}") \\
    --shard "\$SLURM_ARRAY_TASK_ID/$JOBS"
EOF
