"""Sentences about why a job runs again."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from pathlib import Path

from stpipe.project import why


def test_why_tells_code_alone_when_only_names_and_folders_changed() -> None:
    """A project of an earlier version: its jobs name modules, and references in another folder."""

    def job(target: str, folder: str, code: str) -> dict[str, object]:
        about = {
            "references": {"mask": f"{folder}/mask.fits"},
            "checksums": {"mask": "1"},
            "skipped": {"group_scale": [f"{target}Skipped", "nothing to scale", ""]},
            "code": code,
        }
        return {"class": target, "job": about}

    before = job("stpipe.steps.dq_init.DQInitStep", "/there", "old")
    after = job("stpipe.steps.DQInitStep", "/here", "new")

    assert ["the code of the step changed."] == list(why._differences(before, after))
    after["class"] = "mine.DQInitStep"
    assert "its class changed from" in next(iter(why._differences(before, after)))


def test_why_names_the_files_that_a_rule_reads_now(tmp_path: Path) -> None:
    """Beside those that Snakemake noted when it made the product."""
    record = tmp_path / ".snakemake/metadata" / urlsafe_b64encode(b"cal/x_jump.fits").decode()
    record.parent.mkdir(parents=True)
    record.write_text(json.dumps({"input": ["cal/x_ipc.fits", "gain_1.fits"]}))
    reason = "Set of input files has changed since last execution"
    job = why._Job("jump", ("cal/x_dark.fits", "gain_1.fits"), ("cal/x_jump.fits",), reason, "x")

    assert [
        "it reads cal/x_ipc.fits no more.",
        "it reads cal/x_dark.fits, which it did not before.",
    ] == list(why._sentences(tmp_path, job))
