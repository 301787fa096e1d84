

if os.path.exists(os.path.join(workflow.basedir, "rules.smk")):

    include: "rules.smk"
