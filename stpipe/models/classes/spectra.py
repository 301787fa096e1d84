"""Models of slits and spectra, one by one or as the parts of an exposure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stpipe.models.base import DataModel

if TYPE_CHECKING:
    from stpipe.models.protocols import Bits, Floats, Table

__all__ = [
    "CombinedSpecModel",
    "MRSMultiSpecModel",
    "MRSSpecModel",
    "MultiCombinedSpecModel",
    "MultiExposureModel",
    "MultiSlitModel",
    "MultiSpecModel",
    "SlitModel",
    "SpecModel",
    "TSOMultiSpecModel",
    "TSOSpecModel",
    "WFSSCombinedSpecModel",
    "WFSSMultiCombinedSpecModel",
    "WFSSMultiSpecModel",
    "WFSSSpecModel",
]


class SlitModel(DataModel):
    """One slit (rows, columns), or (integrations, rows, columns) of a time series."""

    schema_name = "slit.schema.json"
    shape: tuple[int, ...]
    data: Floats
    err: Floats
    dq: Bits
    var_poisson: Floats | None
    var_rnoise: Floats | None
    var_flat: Floats | None
    wavelength: Floats
    int_times: Table | None


class MultiSlitModel(DataModel):
    """The slits of an exposure: ``slits`` is a list of parts with arrays and metadata."""

    schema_name = "multislit.schema.json"
    reads = ()


class MultiExposureModel(DataModel):
    """The spectra of one source from several exposures, in ``exposures``."""

    schema_name = "multiexposure.schema.json"
    reads = ()


class SpecModel(DataModel):
    """One extracted spectrum: ``spec_table``.

    Wavelengths are in um, fluxes in Jy, surface brightness in MJy/sr.
    """

    schema_name = "spec.schema.json"
    primary = "spec_table"
    reads = ()


class MRSSpecModel(DataModel):
    """One extracted spectrum of the MIRI MRS, with residual fringes removed in the columns RF_*."""

    schema_name = "mrsspec.schema.json"
    primary = "spec_table"
    reads = ()


class TSOSpecModel(DataModel):
    """Spectra of a time series: every row of ``spec_table`` is an integration."""

    schema_name = "tsospec.schema.json"
    primary = "spec_table"
    reads = ()


class WFSSSpecModel(DataModel):
    """Spectra of a slitless exposure: every row of ``spec_table`` is a source."""

    schema_name = "wfssspec.schema.json"
    primary = "spec_table"
    reads = ()


class MultiSpecModel(DataModel):
    """The spectra of an exposure: ``spec`` is a list of parts, each with a ``spec_table``."""

    schema_name = "multispec.schema.json"
    primary = "int_times"
    reads = ()
    int_times: Table | None


class MRSMultiSpecModel(DataModel):
    """The spectra of a MIRI MRS exposure, in ``spec``."""

    schema_name = "mrsmultispec.schema.json"
    primary = "int_times"
    reads = ()


class TSOMultiSpecModel(DataModel):
    """The spectra of a time series, in ``spec``, one part for an order or segment."""

    schema_name = "tsomultispec.schema.json"
    primary = "int_times"
    reads = ()


class WFSSMultiSpecModel(DataModel):
    """Slitless spectra, in ``spec``, one part for an exposure and order."""

    schema_name = "wfssmultispec.schema.json"
    reads = ()


class CombinedSpecModel(DataModel):
    """One spectrum combined of several: ``spec_table``."""

    schema_name = "combinedspec.schema.json"
    primary = "spec_table"
    reads = ()


class MultiCombinedSpecModel(DataModel):
    """Combined spectra, in ``spec``."""

    schema_name = "multicombinedspec.schema.json"
    primary = "int_times"
    reads = ()


class WFSSCombinedSpecModel(DataModel):
    """Combined slitless spectra of one order: every row of ``spec_table`` is a source."""

    schema_name = "wfsscombinedspec.schema.json"
    primary = "spec_table"
    reads = ()


class WFSSMultiCombinedSpecModel(DataModel):
    """Combined slitless spectra, in ``spec``, one part for an order."""

    schema_name = "wfssmulticombinedspec.schema.json"
    primary = "int_times"
    reads = ()
