"""Versions of this package and of those that it computes with."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Mapping
from types import MappingProxyType

__all__ = ["VERSION", "installed"]

VERSION = "0.1.0"
_PACKAGES = ("stpipe-flow", "numpy", "astropy", "asdf", "crds")


@functools.cache
def installed() -> Mapping[str, str]:
    """Versions of the packages that make a product; those not installed are left out."""
    from importlib.metadata import PackageNotFoundError, version  # a help page needs none of it

    found = {}
    for name in _PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return MappingProxyType(found)
