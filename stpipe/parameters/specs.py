"""Which values the parameters of a step may have: the lines of its `spec`."""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from configobj import ConfigObj
from configobj.validate import ValidateError, Validator

if TYPE_CHECKING:
    from stpipe.parameters.declaration import Declaration

__all__ = [
    "OVERRIDE",
    "PATHS",
    "UNIVERSAL",
    "UNIVERSAL_SPEC",
    "USERS_OWN",
    "ExplainedError",
    "Rule",
    "rules",
]


# Parameters of every step.
UNIVERSAL_SPEC = """
    skip = boolean(default=False)           # Skip this step
    pre_hooks = force_list(default=list())  # Run before: "python:mod.f", "shell:cmd {input} {output}"
    post_hooks = force_list(default=list()) # Run after, on the product
    hook_timeout = float(min=0, default=None) # Seconds that a hook's command may take; None: no limit
    save_results = boolean(default=False)   # Save the product, also within a pipeline
    output_file = output_file(default=None) # Exact name of the product
    output_dir = output_file(default=None)  # Folder of the products
    suffix = suffix(default=None)           # Replaces the suffix of the product
"""


UNIVERSAL = frozenset(re.findall(r"^\s*(\w+) =", UNIVERSAL_SPEC, re.MULTILINE))
# Of the parameters of every step, only `skip` decides which science is done: what parameter files of
# CRDS, or the history of a product, say of the others is not heard.
USERS_OWN = UNIVERSAL - {"skip"}


OVERRIDE = "override_"


PATHS = ("input_file", "output_file")  # checks whose values are paths


_LISTS = re.compile(r"\w*list\b")


# ConfigObj leaves the comment of a spec line in the value; a # within quotes starts no comment.
_SPEC_LINE = re.compile(r"""(?P<check>(?:[^#"']|"[^"]*"|'[^']*')*)(?:\#(?P<help>.*))?$""")


_DEFAULT = re.compile(r",?\s*default\s*=\s*(list\([^)]*\)|\"[^\"]*\"|'[^']*'|[^,)]*)")


@dataclass(frozen=True)
class Rule:
    """One line of a spec: what is allowed, the default and the help."""

    check: str
    help: str

    def parse(self, value: object, folder: Path | None = None) -> Any:
        """The value in its type; ValidateError when it is not allowed.

        Relative input files are looked for in `folder`.
        """
        if self.takes_none and _is_none(value):
            return None
        if value is None:
            raise ValidateError("nothing")
        if self.is_list and not isinstance(value, (list, tuple)):
            value = [value]
        parsed = _validator(folder).check(self.check, _python_number(value))
        if isinstance(parsed, float) and math.isnan(parsed):
            raise ValidateError("not a number")
        return parsed

    @property
    def kind(self) -> str:
        """The name of the check: `float`, `option`, `input_file`."""
        return self.check.partition("(")[0].strip()

    @property
    def is_list(self) -> bool:
        """Whether values are lists."""
        return bool(_LISTS.match(self.check))

    @property
    def required(self) -> bool:
        """Whether there is no default."""
        return _default(self.check)[0]

    @property
    def default(self) -> Any:
        """The default value; None when there is none."""
        found = _default(self.check)[1]
        return list(found) if isinstance(found, list) else found

    @property
    def takes_none(self) -> bool:
        """Whether None is a value: it is the default, or one of the options."""
        listed = self.kind == "option" and bool(re.search(r"[(,]\s*None\s*[,)]", self.allowed))
        return listed or (self.default is None and not self.required)

    @property
    def allowed(self) -> str:
        """The check without its default: `float(min=0)`."""
        text = _DEFAULT.sub("", self.check)
        return text.replace("(, ", "(").replace("()", "")

    @property
    def words(self) -> str:
        """What is allowed, for people: `float, 0 to 10`, `one of near, far`."""
        text = self.allowed
        arguments = text.partition("(")[2].removesuffix(")")
        if self.kind == "option":
            return f"one of {arguments}"
        found = dict(re.findall(r"(min|max)\s*=\s*([^,\s]+)", arguments))
        noun = _NOUNS.get(self.kind, self.kind.replace("_", " "))
        low, high = found.get("min"), found.get("max")
        unit = " items" if self.is_list else ""
        if low and high:
            return f"{noun}, {low} to {high}{unit}"
        if low or high:
            return f"{noun}, {'at least' if low else 'at most'} {low or high}{unit}"
        return f"{noun}, {arguments}" if arguments else noun


_NOUNS = {
    "boolean": "True or False",
    "input_file": "file that exists",
    "output_file": "path",
    "force_list": "list",
    "string": "text",
    "suffix": "letters, digits, _, + and -",
    "string_list": "list of texts",
    "float_list": "list of floats",
    "int_list": "list of integers",
    "bool_list": "list of True and False",
}


@cache
def _default(check: str) -> tuple[bool, Any]:
    """Whether a value is required, and the default."""
    try:
        return False, _validator(None).get_default_value(check)
    except KeyError:
        return True, None


@cache
def _validator(folder: Path | None) -> Any:
    own = {"input_file": partial(_input_file, folder), "output_file": _output_file}
    return Validator({**own, "suffix": _suffix})


def _input_file(folder: Path | None, value: object) -> str:
    """An existing file; relative to the parameter file that names it, or to the working directory."""
    path = Path(_output_file(value))
    path = path if path.is_absolute() or folder is None else folder / path
    if not path.is_file():
        raise ExplainedError(f"there is no file {path} (in {Path.cwd()})")
    return str(path)


def _output_file(value: object) -> str:
    """A path, with `~` and $VARIABLES expanded."""
    if not isinstance(value, (str, Path)):
        raise ValidateError("not a path")
    return os.path.expandvars(Path(value).expanduser())


def _suffix(value: object) -> str:
    """A part of a file name, without slashes."""
    if not isinstance(value, str) or not re.fullmatch(r"[\w+-]+", value, re.ASCII):
        raise ExplainedError(f"found {value!r}, allowed: {_NOUNS['suffix']}")
    return value


class ExplainedError(ValidateError):  # type: ignore[misc]
    """A wrong value, with a message that says more than the name of the check."""


def _is_none(value: object) -> bool:
    return value is None or (isinstance(value, str) and value in ("", "None"))


def _python_number(value: object) -> Any:
    """A numpy scalar as a Python number."""
    return value.item() if hasattr(value, "item") and getattr(value, "ndim", 1) == 0 else value


def rules(step: type[Declaration]) -> dict[str, Rule]:
    """Every parameter of `step`; a derived class adds to those of its base."""
    found = _parse_spec(UNIVERSAL_SPEC)
    for cls in reversed(step.__mro__):
        found = found | _parse_spec(vars(cls).get("spec", ""))
    overrides = {
        f"{OVERRIDE}{t}": Rule("string(default=None)", f"Reference file to use as {t}, or N/A")
        for t in sorted(step.all_reference_types())
    }
    return found | overrides


@cache
def _parse_spec(text: str) -> dict[str, Rule]:
    spec = ConfigObj(text.splitlines(), list_values=False, interpolation=False, _inspec=True)
    parts = {name: _SPEC_LINE.match(line) for name, line in spec.items()}
    return {n: Rule(p["check"].strip(), (p["help"] or "").strip()) for n, p in parts.items() if p}
