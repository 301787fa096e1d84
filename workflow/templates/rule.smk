

# $summary
rule $rule:
    input:
        exposure=plan.input("$rule"),
        references=ancient(plan.references("$rule")),
        others=plan.others("$rule"),
    output:
$side$outputs
    log:
        "logs/{root}_$rule.log",
    group:
        plan.group("$rule")
    conda:
        "envs/stpipe-flow.yaml"
    threads: 1
    resources:
        mem_mb=plan.mem_mb("$rule"),
    params:
        job=plan.job("$rule"),
        content=plan.content("$rule"),$more$option
    shell:
        "strun {params.job:q} $source --output_file={output.$first:q}"
        " --threads={threads}$asks > {log:q} 2>&1"
