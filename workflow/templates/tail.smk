

# Shell hooks between steps, products that are saved on the way, and those with other suffixes than
# usual, by parameters or since the input is of another kind.
for _extra in plan.extra_rules():

    rule:
        name:
            _extra.name
        input:
            exposure=plan.input(_extra.name),
            references=ancient(plan.references(_extra.name)),
            others=plan.others(_extra.name),
        output:
            **products(_extra),
            **plan.side_products(_extra.name),
        log:
            f"logs/{{root}}_{_extra.name}.log",
        group:
            plan.group(_extra.name)
        conda:
            "envs/stpipe-flow.yaml"
        threads: 1
        resources:
            mem_mb=plan.mem_mb(_extra.name),
        params:
            job=plan.job(_extra.name),
            content=plan.content(_extra.name),
            source=plan.source(_extra.name),
            side=plan.side(_extra.name),
        shell:
            "strun {params.job:q} {params.source} --output_file={output[0]:q}"
            " --threads={threads} {params.side} > {log:q} 2>&1"


# Where only pixels tell how many parts a step makes, the rest is planned once they are there.
if plan.uncounted_folders():

    checkpoint parts:
        input:
            plan.uncounted_folders(),
        output:
            touch(".stflow/parts"),

    plan.wait = checkpoints.parts.get


if os.path.exists(os.path.join(workflow.basedir, "rules.smk")):

    include: "rules.smk"
