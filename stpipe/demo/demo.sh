#!/bin/sh
# The main jobs, command by command: simulate, make a project, run it, compare with the truth; first
# for four instruments, then for a dithered field of stars that becomes a mosaic.
# Usage: demo.sh DIR
set -eu
folder=$1
cores=${CORES:-2}

say() {
    printf '\n$ %s\n' "$*"
    "$@"
}

# calibrate PROJECT ARGUMENTS...: make a project unless it is there, and run it.
calibrate() {
    project=$1
    if [ ! -f "$project/config/config.yaml" ]; then
        CRDS_PATH=$project/crds
        export CRDS_PATH
        say stflow init "$@"
    fi
    unset CRDS_PATH 2>/dev/null || :
    # The shell expands the pattern once there are products, and hands it over as it is before.
    printf '\n$ cd %s && snakemake --cores %s cal/*.fits\n' "$project" "$cores"
    (
        cd "$project"
        mkdir -p logs
        if ! snakemake --cores "$cores" cal/*.fits > logs/snakemake.log 2>&1; then
            cat logs/snakemake.log >&2
            exit 1
        fi
        # The whole log names every job; what was run and how it ended is enough here.
        awk '/^Job stats/ {table = !seen; seen = 1} table; /^total/ {table = 0}' logs/snakemake.log
        grep -E 'steps \(100%\) done|Nothing to be done' logs/snakemake.log
    )
    say python -m stpipe.demo.compare "$project"
}

say python -m stpipe.demo "$folder"
calibrate "$folder" --pipeline=calwebb_detector1 "$folder"/uncal/*_uncal.fits

say python -m stpipe.demo --dithers "$folder/field"
calibrate "$folder/field" --pipeline=calwebb_detector1 --pipeline=calwebb_image2 \
    --pipeline=calwebb_image3 "$folder"/field/uncal/*_uncal.fits "$folder"/field/asn/*_asn.json
