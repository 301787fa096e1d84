# Written by `stflow generate` from the pipeline $pipeline; your changes would be overwritten.
# Rules of your own go into workflow/rules.smk, which is read at the end and never touched.
#
#   snakemake --cores 8 cal/*.fits            everything
#   snakemake --cores 8 cal/ROOT_jump.fits    up to the step jump, of one exposure
#   snakemake --cores 8 --until jump          up to the step jump, of all exposures
import os
import sys

from stpipe.project.snakemake import (
    back_up,
    discard_backup,
    freeze,
    load,
    restore_missing,
    to_be_made,
    use_own_commands,
)


configfile: "config/config.yaml"


# Rules call the `strun` that is installed beside this snakemake.
use_own_commands()

# Which rules each exposure takes, read from its header; traced again if something changed.
plan = load(config)
# A job on a cluster reads this file again: it follows the plan of this run.
freeze()


def kept(rule, path):
    """Intermediate products are deleted once nothing needs them (`keep` in config.yaml)."""
    return path if plan.is_kept(rule) else temp(path)


def products(extra):
    """The files, or folders of parts, of a rule that is not in the pipeline's definition."""
    files = (".fits", ".passed")
    paths = {n: p if p.endswith(files) else directory(p) for n, p in extra.outputs}
    return {name: kept(extra.name, path) for name, path in paths.items()}


# A product that is rebuilt is not lost if that fails.
onstart:
    back_up(to_be_made(workflow, plan.kept_products()))


onsuccess:
    discard_backup()


onerror:
    for path in restore_missing():
        logger.info(
            f"{path} is the previous one: rebuilding it failed.",
            extra={"kept": path},
        )


wildcard_constraints:
    root=r"[^/]+",


rule all:
    default_target: True
    input:
        plan.all(),


rule:
    name:
        "cal"
    input:
        plan.all(),


# A pattern on the command line means every product that matches, made or not.
for _argument, _products in plan.targets(sys.argv[1:]).items():

    rule:
        name:
            _argument
        input:
            _products,
