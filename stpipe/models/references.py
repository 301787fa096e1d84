"""Models of reference files.

Their ``dq`` is always in the standard bits of `stpipe.models.dqflags`: a file that defines bits of
its own in the table DQ_DEF is translated when ``dq`` is read, and back when it is written.
"""

from __future__ import annotations

from stpipe.models.base import DataModel

__all__ = [
    "DarkMIRIModel",
    "DarkModel",
    "FlatModel",
    "GainModel",
    "IPCModel",
    "LastFrameModel",
    "LinearityModel",
    "MaskModel",
    "RSCDModel",
    "ReadnoiseModel",
    "ReferenceFileModel",
    "ResetModel",
    "SaturationModel",
    "SuperBiasModel",
]


class ReferenceFileModel(DataModel):
    """Any reference file: what it is for and which exposures it fits."""

    schema_name = "referencefile.schema.json"


class DarkModel(ReferenceFileModel):
    """Dark signal (groups, rows, columns) in DN of the near-infrared detectors."""

    schema_name = "dark.schema.json"
    reads = ()


class DarkMIRIModel(ReferenceFileModel):
    """Dark signal (integrations, groups, rows, columns) in DN of MIRI."""

    schema_name = "darkMIRI.schema.json"
    reads = ()


class FlatModel(ReferenceFileModel):
    """Relative response (rows, columns)."""

    schema_name = "flat.schema.json"
    reads = ()


class GainModel(ReferenceFileModel):
    """Gain (rows, columns) in electrons per DN."""

    schema_name = "gain.schema.json"
    reads = ()


class IPCModel(ReferenceFileModel):
    """Kernel of the inter-pixel capacitance: (ky, kx), or (ky, kx, rows, columns)."""

    schema_name = "ipc.schema.json"
    reads = ()


class LastFrameModel(ReferenceFileModel):
    """Signal of the last frame of MIRI (rows, columns) in DN."""

    schema_name = "lastframe.schema.json"
    reads = ()


class LinearityModel(ReferenceFileModel):
    """Polynomial coefficients (order + 1, rows, columns) of the linearity correction."""

    schema_name = "linearity.schema.json"
    primary = "coeffs"
    reads = ()


class MaskModel(ReferenceFileModel):
    """Bad-pixel mask (rows, columns)."""

    schema_name = "mask.schema.json"
    primary = "dq"
    reads = ()


class RSCDModel(ReferenceFileModel):
    """Table of the groups to skip in MIRI ramps, by subarray and readout pattern."""

    schema_name = "rscd.schema.json"
    primary = "rscd_group_skip_table"
    reads = ()


class ReadnoiseModel(ReferenceFileModel):
    """Noise (rows, columns) in DN of the difference of two reads."""

    schema_name = "readnoise.schema.json"
    reads = ()


class ResetModel(ReferenceFileModel):
    """Reset anomaly of MIRI (integrations, groups, rows, columns) in DN."""

    schema_name = "reset.schema.json"
    reads = ()


class SaturationModel(ReferenceFileModel):
    """Saturation threshold (rows, columns) in DN."""

    schema_name = "saturation.schema.json"
    reads = ()


class SuperBiasModel(ReferenceFileModel):
    """Bias of the detector (rows, columns) in DN."""

    schema_name = "superbias.schema.json"
    reads = ()
