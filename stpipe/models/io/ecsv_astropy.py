"""Tables in ECSV that our own reader does not take, as astropy reads them.

These are tables with array cells or masked integers, and those that somebody edited by hand: with more
spaces, other quotes, or comments among the rows.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from stpipe.models.io.columns import Table, plain_table

__all__ = ["by_astropy"]

_KEYS = ("name", "datatype", "subtype", "unit", "description")
_LARGEST = 1 << 30  # bytes that all cells would have if they were as wide as the longest line


def by_astropy(head: Mapping[str, Any], text: str, where: str) -> Table:
    """The table of a header that we have read, and the text below it; any error is astropy's.

    The metadata stay out of it: whatever they hold, astropy makes no objects of it.
    """
    import yaml
    from astropy.table import Table as AstropyTable

    lines = text.split("\n")
    if 4 * len(lines) * max(map(len, lines)) > _LARGEST:
        raise ValueError("one text is much longer than the others")
    columns = [
        {key: str(column[key]) for key in _KEYS if key in column} for column in head["datatype"]
    ]
    about: dict[str, Any] = {"delimiter": str(head.get("delimiter", " ")), "datatype": columns}
    dumped: Sequence[str] = yaml.safe_dump(about, allow_unicode=True).splitlines()
    whole = "\n".join(["# %ECSV 1.0", "# ---", *(f"# {line}" for line in dumped), text])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what is odd, which our reader has noticed
        table = AstropyTable.read(whole, format="ascii.ecsv")
    return plain_table(table, where)
