"""The two commands: `strun` runs a step or a pipeline, `stflow` makes Snakemake projects."""
