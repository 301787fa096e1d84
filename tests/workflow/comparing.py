"""When two products are the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from stpipe import models

__all__ = ["same", "same_arrays"]


def same_arrays(one: Path, other: Path) -> None:
    """The same model with bit-identical arrays."""
    with models.open(one) as a, models.open(other) as b:
        assert type(a) is type(b)
        _same_arrays(a, b)
        for path in a.schema.lists:
            for left, right in zip(getattr(a, path), getattr(b, path), strict=True):
                _same_arrays(left, right)


def _same_arrays(a: models.DataModel, b: models.DataModel) -> None:
    assert a.shapes == b.shapes
    for name in a.shapes:
        one_array, other_array = getattr(a, name), getattr(b, name)
        # NaN equal NaN in arrays, not in rows of tables.
        # The names of files that were read differ where they were not read from files.
        columns = set(one_array.dtype.names or (...,)) - (
            {"FILENAME"} if name == "hdrtab" else set()
        )
        for column in columns:
            np.testing.assert_array_equal(one_array[column], other_array[column], name)


def same(one: Path, other: Path) -> None:
    """Bit-identical arrays and equal metadata and history, but for times."""
    same_arrays(one, other)
    with models.open(one) as a, models.open(other) as b:
        left, right = a.to_flat_dict(), b.to_flat_dict()
        for name in left.keys() | right.keys():
            if not name.startswith("provenance") and name not in ("meta.date", "meta.filename"):
                assert left.get(name) == right.get(name), name
        for x, y in zip(a.provenance, b.provenance, strict=True):
            for key in ("step", "class", "status", "reason", "parameters", "references", "suffix"):
                assert x.get(key) == y.get(key), (x["step"], key)
