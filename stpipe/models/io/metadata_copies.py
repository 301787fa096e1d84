"""Copies of metadata: what can be changed by name is copied, what is a value is shared.

Transforms of astropy and nodes of an ASDF tree are values here: nobody changes them in place. A gwcs
is a list of transforms, of which one can be replaced, and has a bounding box: the copy has a list and
a box of its own. To copy the transforms, too, can take longer than a step.
"""

from __future__ import annotations

import copy
import sys
from typing import Any

from stpipe.models.formats.asdf_yaml import Tagged

__all__ = ["copy_of"]

_PLAIN = (str, bool, int, float, type(None))


def copy_of(node: Any, known: dict[int, Any]) -> Any:
    """A copy of a tree of metadata.

    Parameters
    ----------
    node
        Dictionaries, lists and what they hold.
    known
        The copies that there are, by the identity of the original; those made here are added.
    """
    if isinstance(node, (*_PLAIN, Tagged)):
        return node
    if id(node) in known:
        return known[id(node)]
    if type(node) is dict:
        made: Any = {}
        known[id(node)] = made
        made.update((name, copy_of(child, known)) for name, child in node.items())
        return made
    if type(node) is list:
        known[id(node)] = made = []
        made.extend(copy_of(child, known) for child in node)
        return made
    if _is_gwcs(node):
        _share_transforms(node, known)
    return copy.deepcopy(node, known)


def _is_gwcs(found: object) -> bool:
    gwcs = sys.modules.get("gwcs")  # without it there is none
    return gwcs is not None and isinstance(found, gwcs.WCS)


def _share_transforms(wcs: Any, known: dict[int, Any]) -> None:
    """Have a copy share frames and transforms; but the first transform, as it has the bounding box."""
    first, *others = wcs.pipeline
    for step in (first, *others):
        known.setdefault(id(step.frame), step.frame)
    for step in others:
        known.setdefault(id(step.transform), step.transform)
    known[id(first.transform)] = copy.copy(first.transform)
