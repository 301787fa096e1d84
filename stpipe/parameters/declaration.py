"""What parameters need to know of a step: names, spec, references and substeps."""

from __future__ import annotations

from typing import Any, ClassVar, Protocol

__all__ = ["Declaration"]


class Declaration(Protocol):
    """A step as far as its parameters go; every step class is one."""

    alias: ClassVar[str]
    spec: ClassVar[str]
    step_defs: ClassVar[dict[str, Any]]

    @classmethod
    def target(cls) -> str:
        """The class as parameter files name it."""
        ...

    @classmethod
    def all_reference_types(cls) -> frozenset[str]:
        """Reference types of the step and its substeps."""
        ...
