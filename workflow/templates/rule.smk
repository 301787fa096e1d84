

# $summary
rule $rule:
    input:
        exposure=plan.input("$rule"),
        references=ancient(plan.references("$rule")),
    output:
$outputs
    params:
        job=plan.job("$rule"),
    log:
        "logs/{root}_$rule.log",
    threads: 1
    resources:
        mem_mb=plan.mem_mb("$rule"),
    group:
        "exposure"
    conda:
        "envs/stpipe-flow.yaml"
    shell:
        "strun {params.job:q} {input.exposure:q} --output_file={output.$first:q} > {log:q} 2>&1"
