"""YAML and JSON that people write, read so that what is wrong is said in words about the file."""

from __future__ import annotations

from typing import Any

__all__ = ["LONGEST", "guarded", "load", "whole_number"]

LONGEST = 1000
"""Characters of a number: Python itself gives up on whole numbers of some thousand digits."""

_KINDS = {"int": "whole number", "float": "number", "bool": "truth value"}


def load(text: str) -> Any:
    """The content of a document; raises `yaml.YAMLError` when it is none."""
    import yaml

    class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
        pass

    try:
        return yaml.load(text, Loader=guarded(Loader))  # noqa: S506 - derives from the safe loader
    except RecursionError:
        raise yaml.YAMLError("it is nested too deeply") from None


def guarded(loader: Any) -> Any:
    """A loader class of YAML whose numbers and truth values are those, or an error of YAML."""
    for name, kind in _KINDS.items():
        tag = f"tag:yaml.org,2002:{name}"
        loader.add_constructor(tag, _guarded(loader.yaml_constructors[tag], kind))
    return loader


def whole_number(text: str) -> int:
    """The whole number in a text: the `parse_int` of `json.loads`."""
    if len(text) > LONGEST:
        raise ValueError(f"it has a number of {len(text)} digits, allowed are at most {LONGEST}")
    return int(text)


def _guarded(construct: Any, kind: str) -> Any:
    from yaml.constructor import ConstructorError

    def checked(loader: Any, node: Any) -> Any:
        if len(node.value) > LONGEST:
            words = f"a {kind} of {len(node.value)} characters; allowed are at most {LONGEST}"
            raise ConstructorError(None, None, words, node.start_mark)
        try:
            return construct(loader, node)
        except (ArithmeticError, LookupError, ValueError):
            words = f'"{node.value}"'[:60] + f" is no {kind}; text stands in quotes"
            raise ConstructorError(None, None, words, node.start_mark) from None

    return checked
