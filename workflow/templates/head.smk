# Written by `stflow generate` from the pipeline $pipeline; it will be written again.
# Rules of your own go into workflow/rules.smk, which is read at the end and never touched.
#
#   snakemake --cores 8 cal/*.fits            everything
#   snakemake --cores 8 cal/ROOT_jump.fits    up to the step jump, of one exposure
#   snakemake --cores 8 --until jump          up to the step jump, of all exposures
import os
import sys

from stpipe.project.snakemake import (
    forget,
    freeze,
    give_back,
    keep,
    load,
    to_be_made,
    use_own_commands,
)


configfile: "config/config.yaml"


# Rules call the `strun` that is installed beside this snakemake.
use_own_commands()

# Which rules each exposure takes, read from its header; traced again when something changed.
plan = load(config)
# A job on a cluster reads this file again: it follows the plan of this run.
freeze()


def kept(rule, path):
    """Products on the way may go when nothing needs them any more (keep in config.yaml)."""
    return path if plan.is_kept(rule) else temp(path)


def products(extra):
    """The files, or folders of parts, that a rule makes that is not in the pipeline's definition."""
    files = (".fits", ".passed")
    paths = {n: p if p.endswith(files) else directory(p) for n, p in extra.outputs}
    return {name: kept(extra.name, path) for name, path in paths.items()}


# A product that is made again is not lost when that fails.
onstart:
    keep(to_be_made(workflow, plan.kept_products()))


onsuccess:
    forget()


onerror:
    for path in give_back():
        logger.info(f"{path} is the one from before: making it again failed.")


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
