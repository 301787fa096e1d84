"""Models of reference files that come by spectral order or aperture."""

from __future__ import annotations

from stpipe.models.classes.reference_files import Reference

__all__ = [
    "PastasossModel",
    "SpecProfileModel",
    "SpecProfileSingleModel",
    "SpecPsfModel",
    "SpecTraceModel",
    "SpecTraceSingleModel",
    "WaveMapModel",
    "WaveMapSingleModel",
]


class PastasossModel(Reference):
    """Traces, wavelengths and throughputs of SOSS as functions of the pupil wheel's position."""

    schema_name = "pastasoss.schema.json"


class SpecProfileModel(Reference):
    """Spatial profiles of SOSS: ``profile`` is a list by order."""

    schema_name = "specprofile.schema.json"


class SpecProfileSingleModel(Reference):
    """Spatial profile of one order of SOSS."""

    schema_name = "specprofilesingle.schema.json"


class SpecPsfModel(Reference):
    """Point spread functions of spectra: ``apertures`` is a list."""

    schema_name = "specpsf.schema.json"


class SpecTraceModel(Reference):
    """Traces of SOSS: ``trace`` is a list by order."""

    schema_name = "spectrace.schema.json"


class SpecTraceSingleModel(Reference):
    """Trace of one order of SOSS."""

    schema_name = "spectracesingle.schema.json"


class WaveMapModel(Reference):
    """Wavelengths of SOSS: ``map`` is a list by order."""

    schema_name = "wavemap.schema.json"


class WaveMapSingleModel(Reference):
    """Wavelengths of one order of SOSS."""

    schema_name = "wavemapsingle.schema.json"
