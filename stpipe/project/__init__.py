"""A Snakemake project made from a pipeline: planning, generating, running, reporting."""
