#!/bin/sh
# The main job, command by command: simulate, make a project, run it, compare with the truth.
# Usage: demo.sh DIR
set -eu
folder=$1

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
# Unquoted on purpose: the shell expands the pattern once there are products.
say snakemake --cores "${CORES:-2}" --quiet rules host -- cal/*.fits
say python -m stpipe.demo.compare .
