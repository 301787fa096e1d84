"""The reference files that calibrate the simulated spectra, without their headers."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from stpipe.demo.nirspec import extraction_files, optics_files, response_files

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from stpipe.demo.nirspec.settings import Setting

__all__ = ["MAKERS", "OPTICS"]

OPTICS: Final = tuple(optics_files.MAKERS)
"""The types that coordinates are made of."""
MAKERS: Final[Mapping[str, Callable[[Setting], Any]]] = MappingProxyType(
    {**optics_files.MAKERS, **response_files.MAKERS, **extraction_files.MAKERS}
)
"""How each type is made; of modes that have none it is None."""
