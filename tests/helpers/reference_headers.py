"""Headers of reference files that tests make."""

from __future__ import annotations

from typing import Any

__all__ = ["described"]


def described(model: Any, reftype: str, instrument: str, detector: str) -> Any:
    """A reference with the header that the peer, too, asks for."""
    values = {
        "telescope": "JWST",
        "reftype": reftype.upper(),
        "pedigree": "DUMMY",
        "author": "test",
        "description": "test",
        "useafter": "2020-01-01T00:00:00",
        "instrument.name": instrument,
        "instrument.detector": detector,
    }
    for name, value in values.items():
        model.set(f"meta.{name}", value)
    return model
