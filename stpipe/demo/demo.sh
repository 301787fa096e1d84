#!/bin/sh
# The main job, command by command: simulate, make a project, run it, compare with the truth.
# Usage: demo.sh DIR
set -eu
folder=$1
cores=${CORES:-2}

say() {
    printf '\n$ %s\n' "$*"
    "$@"
}

say python -m stpipe.demo "$folder"
if [ ! -f "$folder/config/config.yaml" ]; then
    CRDS_PATH=$folder/crds
    export CRDS_PATH
    say stflow init "$folder" --pipeline=calwebb_detector1 "$folder"/uncal/*_uncal.fits
fi
cd "$folder"
unset CRDS_PATH 2>/dev/null || :
# The shell expands the pattern once there are products, and hands it over as it is before.
printf '\n$ cd %s && snakemake --cores %s cal/*.fits\n' "$folder" "$cores"
mkdir -p logs
if ! snakemake --cores "$cores" cal/*.fits > logs/snakemake.log 2>&1; then
    cat logs/snakemake.log >&2
    exit 1
fi
# The whole log names every job; what was run and how it ended is enough here.
awk '/^Job stats/ {table = !seen; seen = 1} table; /^total/ {table = 0}' logs/snakemake.log
grep -E 'steps \(100%\) done|Nothing to be done' logs/snakemake.log
say python -m stpipe.demo.compare .
