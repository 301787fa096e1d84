"""Reference models of optics: transforms between frames, dispersion, resolution.

Transforms are live objects of astropy and gwcs, made when they are asked for.
"""

from __future__ import annotations

from stpipe.models.classes.reference_files import Reference

__all__ = [
    "CameraModel",
    "ChromCorrModel",
    "CollimatorModel",
    "DisperserModel",
    "DistortionMRSModel",
    "DistortionModel",
    "FOREModel",
    "FPAModel",
    "FilteroffsetModel",
    "IFUFOREModel",
    "IFUPostModel",
    "IFUSlicerModel",
    "MSAModel",
    "MiriIFUCubeParsModel",
    "MiriLRSSpecwcsModel",
    "MiriResolutionModel",
    "MiriWFSSSpecwcsModel",
    "NIRCAMGrismModel",
    "NIRISSGrismModel",
    "NRMModel",
    "NirspecIFUCubeParsModel",
    "OTEModel",
    "RegionsModel",
    "SpecKernelModel",
    "SpecwcsModel",
    "WaveCorrModel",
    "WavelengthrangeModel",
]


class CameraModel(Reference):
    """Transform of the NIRSpec camera."""

    schema_name = "camera.schema.json"


class ChromCorrModel(Reference):
    """Chromatic correction of a transform."""

    schema_name = "chromcorr.schema.json"


class CollimatorModel(Reference):
    """Transform of the NIRSpec collimator."""

    schema_name = "collimator.schema.json"


class DisperserModel(Reference):
    """Dispersers of NIRSpec."""

    schema_name = "disperser.schema.json"


class DistortionModel(Reference):
    """Transform from pixels (0-based, full frame) to V2, V3 in arcsec: ``model``."""

    schema_name = "distortion.schema.json"


class DistortionMRSModel(Reference):
    """Distortion of the MIRI MRS."""

    schema_name = "distortionmrs.schema.json"


class FOREModel(Reference):
    """Transform of the NIRSpec fore-optics."""

    schema_name = "fore.schema.json"


class FPAModel(Reference):
    """Transform of the NIRSpec focal plane."""

    schema_name = "fpa.schema.json"


class FilteroffsetModel(Reference):
    """Offsets in pixels by filter and pupil: ``filters``."""

    schema_name = "filteroffset.schema.json"


class IFUFOREModel(Reference):
    """Transform of the NIRSpec IFU fore-optics."""

    schema_name = "ifufore.schema.json"


class IFUPostModel(Reference):
    """Transforms after the NIRSpec slicer."""

    schema_name = "ifupost.schema.json"


class IFUSlicerModel(Reference):
    """Transforms of the NIRSpec slicer."""

    schema_name = "ifuslicer.schema.json"


class MSAModel(Reference):
    """Transforms of the NIRSpec shutters."""

    schema_name = "msa.schema.json"


class MiriIFUCubeParsModel(Reference):
    """Cube parameters of the MIRI MRS."""

    schema_name = "miriifucubepars.schema.json"
    primary = "ifucubepars_table"


class MiriLRSSpecwcsModel(Reference):
    """Dispersion of the MIRI LRS."""

    schema_name = "mirilrsspecwcs.schema.json"
    primary = "wavetable"


class MiriResolutionModel(Reference):
    """Resolution of the MIRI MRS."""

    schema_name = "miriresolution.schema.json"
    primary = "resolving_power_table"


class MiriWFSSSpecwcsModel(Reference):
    """Dispersion of MIRI WFSS."""

    schema_name = "miriwfssspecwcs.schema.json"


class NIRCAMGrismModel(Reference):
    """Dispersion of the NIRCam grisms."""

    schema_name = "nircamgrism.schema.json"


class NIRISSGrismModel(Reference):
    """Dispersion of the NIRISS grisms."""

    schema_name = "nirissgrism.schema.json"


class NRMModel(Reference):
    """Non-redundant mask."""

    schema_name = "nrm.schema.json"
    primary = "nrm"


class NirspecIFUCubeParsModel(Reference):
    """Cube parameters of NIRSpec."""

    schema_name = "nirspecifucubepars.schema.json"
    primary = "ifucubepars_table"


class OTEModel(Reference):
    """Transform of the telescope."""

    schema_name = "ote.schema.json"


class RegionsModel(Reference):
    """Number of the slice or slit that every pixel belongs to: ``regions``."""

    schema_name = "regions.schema.json"


class SpecKernelModel(Reference):
    """Convolution kernels of SOSS."""

    schema_name = "speckernel.schema.json"
    primary = "wavelengths"


class SpecwcsModel(Reference):
    """Transform from pixels to wavelength: ``model``."""

    schema_name = "specwcs.schema.json"


class WaveCorrModel(Reference):
    """Wavelength corrections of off-centre sources."""

    schema_name = "wavecorr.schema.json"


class WavelengthrangeModel(Reference):
    """Wavelength limits."""

    schema_name = "wavelengthrange.schema.json"
