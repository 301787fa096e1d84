"""Classes are known by public names; where their modules are is nobody's business."""

from __future__ import annotations

import subprocess
import sys

import pytest

import stpipe
from stpipe import pipelines, steps
from stpipe.core.loading import load
from stpipe.registry import PIPELINES, STEPS, public_name


@pytest.mark.parametrize(("face", "table"), [(steps, STEPS), (pipelines, PIPELINES)])
def test_packages_export_what_the_tables_list(face: object, table: dict[str, str]) -> None:
    """One list of classes: those of the registry, each from the package and from `stpipe`."""
    assert sorted(target.rpartition(":")[2] for target in table.values()) == list(face.__all__)
    for alias in table:
        cls = load(alias)
        assert cls is getattr(face, cls.__name__)
        assert cls is getattr(stpipe, cls.__name__)


def test_a_class_that_is_not_there_is_no_attribute() -> None:
    for module in (stpipe, steps, pipelines):
        with pytest.raises(AttributeError, match="JumpyStep"):
            module.JumpyStep  # noqa: B018 - looking it up is what fails


@pytest.mark.parametrize("alias", sorted({**STEPS, **PIPELINES}))
def test_a_class_is_found_by_every_name_that_it_had(alias: str) -> None:
    """Parameter files and products of earlier versions name the module that defined the class."""
    cls = load(alias)
    package = "steps" if alias in STEPS else "pipelines"
    module = {**STEPS, **PIPELINES}[alias].partition(":")[0]
    names = [
        cls.target(),
        f"{module}.{cls.__name__}",
        f"{module}:{cls.__name__}",
        f"stpipe.{package}.a_module_that_is_gone.{cls.__name__}",
        f"jwst.{alias}.{cls.__name__}",
    ]

    assert f"stpipe.{package}.{cls.__name__}" == cls.target()
    assert {cls.target()} == {public_name(name) for name in names}
    assert {cls} == {load(name) for name in names}


def test_names_of_other_classes_stay() -> None:
    for name in (
        "mine.py:MyStep",
        "mypkg.steps.JumpStep",
        "stpipe.steps.jump.JumpRules",
    ):
        assert name == public_name(name)


def test_looking_for_a_class_imports_no_other() -> None:
    """`from stpipe.steps import SuperBiasStep` loads no other step."""
    code = (
        "import sys; from stpipe.steps import SuperBiasStep;"
        "print(sorted(m for m in sys.modules if m.startswith('stpipe.steps.')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "['stpipe.steps.stage1', 'stpipe.steps.stage1.superbias']" == done.stdout.strip()
