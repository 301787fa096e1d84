"""Keywords of FITS that describe coordinates."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stpipe.models.protocols import FlatMetadata

__all__ = ["replaced_keywords"]


# What a description in FITS replaces: linear terms and polynomials.
_REPLACED = re.compile(r"cdelt[12]|pc[12]_[12]|cd[12]_[12]|(a|b|ap|bp)_(order|\d_\d)")


def replaced_keywords(meta: FlatMetadata, keywords: Mapping[str, object]) -> dict[str, Any]:
    """Metadata with a description in FITS keywords in the place of an older one.

    Parameters
    ----------
    meta : mapping
        Metadata by dotted name.
    keywords : mapping
        The description, by lower-case keyword.

    Returns
    -------
    dict
        Metadata by dotted name; None where there is no longer a value.
    """
    from stpipe import models

    own = (path.rpartition(".") for path in meta)
    names = [n for group, _, n in own if group == "meta.wcsinfo" and _REPLACED.fullmatch(n)]
    found = {**dict.fromkeys(names), **keywords}
    known = models.ImageModel.load_schema().metadata
    described = {f"meta.wcsinfo.{name}": value for name, value in found.items()}
    return {path: value for path, value in described.items() if path in known}
