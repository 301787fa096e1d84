"""Help texts: the command, a step, a pipeline, a step of a pipeline."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

from stpipe.cli.common import arguments
from stpipe.cli.common.text import heading, rows
from stpipe.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from stpipe.core.step import Step
    from stpipe.parameters.specs import Rule

__all__ = ["of_command", "of_target"]

USAGE = """\
{usage} strun TARGET INPUT... [--parameter=value ...] [options]

Run a step or a pipeline on exposures. TARGET is an alias (jump, calwebb_detector1), a class
(mypkg.MyPipeline, sloper.py:SloperPipeline) or a parameter file (sloper.cfg). Products go to the
current directory as ROOT_SUFFIX.fits unless --output_file or --output_dir say otherwise.

  strun calwebb_detector1 jw01_uncal.fits
  strun jump jw01_dark_current.fits --rejection_threshold=5
  strun sloper.cfg jw01_uncal.fits --output_file=slopes.asdf
  strun --like jw01_rate.fits jw02_uncal.fits
  strun jump --help                    parameters of a step

{options}

{codes} 0 done, 1 a step failed, 2 usage or parameters, 3 input unusable, 4 reference file
missing, 5 hook failed"""


def of_command() -> str:
    """What `strun --help` shows."""
    table = [[f"--{name}", text] for name, text in arguments.FLAGS.items()]
    for name, text in arguments.VALUED.items():
        value, _, words = text.partition(" ")
        table.append([f"--{name}={value}", words.strip()])
    options = "\n".join([heading("options:"), *rows(table)])
    return USAGE.format(usage=heading("usage:"), options=options, codes=heading("exit codes:"))


def of_target(cls: type[Step], target: str, step_name: str = "") -> str:
    """What `strun TARGET --help [STEP]` shows.

    Raises
    ------
    UsageError
        When the pipeline has no step of that name.
    """
    prefix = ""
    for name in step_name.split(".") if step_name else ():
        if name not in cls.step_defs:
            raise UsageError(
                f'{target} has no step "{step_name}"{did_you_mean(name, cls.step_defs)}; '
                f"it has {', '.join(cls.step_defs) or 'none'}."
            )
        cls = cls.step_defs[name]
        prefix += f"steps.{name}."
    return "\n".join(_Help(cls, target, prefix).lines())


class _Help:
    """The help of a step, alone or as a part of a pipeline."""

    def __init__(self, cls: type[Step], target: str, prefix: str) -> None:
        from stpipe.parameters.specs import OVERRIDE, UNIVERSAL, rules

        self.cls, self.target, self.prefix = cls, target, prefix
        known = rules(cls)
        own = {n: r for n, r in known.items() if n not in UNIVERSAL}
        self.own = {n: r for n, r in own.items() if not n.startswith(OVERRIDE)}
        self.universal = {n: r for n, r in known.items() if n in UNIVERSAL}

    def lines(self) -> list[str]:
        """All sections."""
        usage = f"strun {self.target} INPUT... [--{self.prefix}PARAMETER=VALUE ...]"
        return [
            f"{heading('usage:')} {usage}",
            "",
            inspect.getdoc(self.cls) or self.cls.__name__,
            *self._section("parameters:", self._parameters(self.own)),
            *self._steps(),
            *self._references(),
            *self._section("example:", [f"  {self._example()}"]),
            *self._section("parameters of every step:", self._parameters(self.universal)),
        ]

    @staticmethod
    def _section(title: str, lines: list[str]) -> list[str]:
        return ["", heading(title), *lines] if lines else []

    def _parameters(self, known: dict[str, Rule]) -> list[str]:
        table = [
            [f"--{self.prefix}{name}", _default(rule), f"{rule.help} [{rule.words}]"]
            for name, rule in known.items()
        ]
        return rows(table) if table else []

    def _steps(self) -> list[str]:
        if not self.cls.step_defs:
            return []
        table = [[name, _first_line(step)] for name, step in self.cls.step_defs.items()]
        step = next(iter(self.cls.step_defs))
        hint = f"  strun {self.target} --help {step} shows the parameters of a step."
        return self._section("steps:", [*rows(table), hint])

    def _references(self) -> list[str]:
        needed, optional = self.cls.reference_types, self.cls.optional_reference_types
        table = [
            [label, ", ".join(types)]
            for label, types in (("needed", needed), ("optional", optional))
            if types
        ]
        if not table:
            return []
        option = f"--{self.prefix}override_{(*needed, *optional)[0]}=PATH"
        hint = f"  {option} replaces one, N/A uses none."
        return self._section("reference files:", [*rows(table), hint])

    def _example(self) -> str:
        words = ["strun", self.target, _example_input(self.cls, self.prefix)]
        chosen = next((n for n, r in self.own.items() if r.default not in (None, "", [])), None)
        if chosen:
            words.append(f"--{self.prefix}{chosen}={_default(self.own[chosen])}")
        elif self.cls.step_defs:
            words.append(f"--steps.{next(reversed(self.cls.step_defs))}.skip")
        return " ".join(words)


def _example_input(cls: type[Step], prefix: str) -> str:
    raw = prefix or cls.step_defs or not cls.input_models
    if raw:
        return "jw01_uncal.fits"
    return "jw01_rate.fits" if "ImageModel" in cls.input_models else "jw01_ramp.fits"


def _first_line(step: type[Step]) -> str:
    return (inspect.getdoc(step) or step.__name__).partition("\n")[0]


def _default(rule: Rule) -> str:
    if rule.required:
        return "required"
    default = rule.default
    if isinstance(default, list):
        return ",".join(map(str, default)) or "none"
    return str(default)
