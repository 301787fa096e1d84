"""Sentences about why a job runs again."""

from __future__ import annotations

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
