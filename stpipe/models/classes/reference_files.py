"""Models of reference files.

Their ``dq`` is always in the standard bits of `stpipe.models.dqflags`: a file that defines bits of
its own in the table DQ_DEF is translated when ``dq`` is read, and back when it is written.
"""

from __future__ import annotations

from stpipe.models.base import DataModel

__all__ = [
    "DarkMIRIModel",
    "DarkModel",
    "DarkNirspecModel",
    "EmiModel",
    "FlatModel",
    "FringeFreqModel",
    "FringeModel",
    "GainModel",
    "IPCModel",
    "IRS2Model",
    "LastFrameModel",
    "LinearityModel",
    "MaskModel",
    "MirMrsXArtCorrModel",
    "NirspecFlatModel",
    "NirspecQuadFlatModel",
    "PersistenceSatModel",
    "PictureFrameModel",
    "PsfMaskModel",
    "RSCDModel",
    "ReadnoiseModel",
    "Reference",
    "ReferenceCubeModel",
    "ReferenceFileModel",
    "ReferenceImageModel",
    "ReferenceQuadModel",
    "ResetModel",
    "ResolutionModel",
    "SIRSKernelModel",
    "SaturationModel",
    "StrayLightModel",
    "SuperBiasModel",
    "TrapDensityModel",
    "TrapParsModel",
]


class ReferenceFileModel(DataModel):
    """Any reference file: what it is for and which exposures it fits."""

    schema_name = "referencefile.schema.json"


class Reference(ReferenceFileModel, register=False):
    """A reference file of one type, which is not read as another."""

    reads = ()


class DarkModel(Reference):
    """Dark signal (groups, rows, columns) in DN of the near-infrared detectors."""

    schema_name = "dark.schema.json"


class DarkMIRIModel(Reference):
    """Dark signal (integrations, groups, rows, columns) in DN of MIRI."""

    schema_name = "darkMIRI.schema.json"


class FlatModel(Reference):
    """Relative response (rows, columns)."""

    schema_name = "flat.schema.json"


class GainModel(Reference):
    """Gain (rows, columns) in electrons per DN."""

    schema_name = "gain.schema.json"


class IPCModel(Reference):
    """Kernel of the inter-pixel capacitance: (ky, kx), or (ky, kx, rows, columns)."""

    schema_name = "ipc.schema.json"


class LastFrameModel(Reference):
    """Signal of the last frame of MIRI (rows, columns) in DN."""

    schema_name = "lastframe.schema.json"


class LinearityModel(Reference):
    """Polynomial coefficients (order + 1, rows, columns) of the linearity correction."""

    schema_name = "linearity.schema.json"
    primary = "coeffs"


class MaskModel(Reference):
    """Bad-pixel mask (rows, columns)."""

    schema_name = "mask.schema.json"
    primary = "dq"


class RSCDModel(Reference):
    """Table of the groups to skip in MIRI ramps, by subarray and readout pattern."""

    schema_name = "rscd.schema.json"
    primary = "rscd_group_skip_table"


class ReadnoiseModel(Reference):
    """Noise (rows, columns) in DN of the difference of two reads."""

    schema_name = "readnoise.schema.json"


class ResetModel(Reference):
    """Reset anomaly of MIRI (integrations, groups, rows, columns) in DN."""

    schema_name = "reset.schema.json"


class SaturationModel(Reference):
    """Saturation threshold (rows, columns) in DN."""

    schema_name = "saturation.schema.json"


class SuperBiasModel(Reference):
    """Bias of the detector (rows, columns) in DN."""

    schema_name = "superbias.schema.json"


class DarkNirspecModel(Reference):
    """Dark signal of NIRSpec with rates."""

    schema_name = "darknirspec.schema.json"


class EmiModel(Reference):
    """Frequencies and phase amplitudes of the electromagnetic interference in MIRI: ``data``."""

    schema_name = "emi.schema.json"


class FringeModel(Reference):
    """Fringes of the MIRI MRS."""

    schema_name = "fringe.schema.json"


class FringeFreqModel(Reference):
    """Frequencies of residual fringes."""

    schema_name = "fringefreq.schema.json"
    primary = "rfc_freq_short_table"


class IRS2Model(Reference):
    """Coefficients of the interleaved reference pixels of NIRSpec IRS2 readouts: ``irs2_table``."""

    schema_name = "irs2.schema.json"
    primary = "irs2_table"


class MirMrsXArtCorrModel(Reference):
    """Cross artefact of the MIRI MRS."""

    schema_name = "mirmrsxartcorr.schema.json"
    primary = "ch1a_table"


class NirspecFlatModel(Reference):
    """Flat field of NIRSpec."""

    schema_name = "nirspecflat.schema.json"


class NirspecQuadFlatModel(Reference):
    """Flat field of the NIRSpec shutters."""

    schema_name = "nirspecquadflat.schema.json"
    primary = "dq_def"


class PersistenceSatModel(Reference):
    """Threshold of persistence."""

    schema_name = "persistencesat.schema.json"


class PictureFrameModel(Reference):
    """Picture frame of NIRSpec."""

    schema_name = "pictureframe.schema.json"


class PsfMaskModel(Reference):
    """Transmission of a coronagraph."""

    schema_name = "psfmask.schema.json"


class ReferenceCubeModel(Reference):
    """Reference data of three dimensions."""

    schema_name = "referencecube.schema.json"


class ReferenceImageModel(Reference):
    """Reference data of two dimensions."""

    schema_name = "referenceimage.schema.json"


class ReferenceQuadModel(Reference):
    """Reference data of four dimensions."""

    schema_name = "referencequad.schema.json"


class ResolutionModel(Reference):
    """Resolution."""

    schema_name = "resolution.schema.json"


class SIRSKernelModel(Reference):
    """Kernels of the improved reference-pixel correction, by detector: ``data``."""

    schema_name = "sirskernel.schema.json"


class StrayLightModel(Reference):
    """Mask of the pixels between the slices."""

    schema_name = "straylight.schema.json"


class TrapDensityModel(Reference):
    """Density of charge traps."""

    schema_name = "trapdensity.schema.json"


class TrapParsModel(Reference):
    """Parameters of charge traps."""

    schema_name = "trappars.schema.json"
    primary = "trappars_table"
