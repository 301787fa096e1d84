"""From a pipeline's `process` to a Snakefile: trace, plan, text, pictures and explanations."""
