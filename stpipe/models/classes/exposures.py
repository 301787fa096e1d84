"""Models of exposures, from raw ramps to calibrated images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stpipe.models.base import DataModel

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from stpipe.models.protocols import Bits, Floats, GroupBits, Table

__all__ = [
    "AmiLgFitModel",
    "ContrastModel",
    "CubeModel",
    "GuiderCalModel",
    "GuiderRawModel",
    "IFUCubeModel",
    "IFUImageModel",
    "ImageModel",
    "Level1bModel",
    "NothingModel",
    "OutlierIFUOutputModel",
    "QuadModel",
    "RampFitOutputModel",
    "RampModel",
    "SegmentationMapModel",
    "SossExtractModel",
    "SossWaveGridModel",
    "SourceCatalogModel",
    "SuperstripeRampModel",
    "TrapsFilledModel",
]


class Level1bModel(DataModel):
    """Uncalibrated ramps (integrations, groups, rows, columns) in DN, uint16."""

    schema_name = "level1b.schema.json"
    reads = ("RampModel",)
    data: npt.NDArray[np.uint16]
    zeroframe: npt.NDArray[np.uint16] | None


class RampModel(DataModel):
    """Ramps (integrations, groups, rows, columns) in DN, float32, with flags of every group.

    Uncalibrated files open as ramps: counts become float32, flags start as zero.
    """

    schema_name = "ramp.schema.json"
    reads = ("Level1bModel",)
    shape: tuple[int, ...]
    data: Floats
    groupdq: GroupBits
    pixeldq: Bits
    zeroframe: Floats | None
    average_dark_current: Floats | None
    int_times: Table | None


class ImageModel(DataModel):
    """Image (rows, columns): count rates in DN/s, or calibrated."""

    schema_name = "image.schema.json"
    reads = ("IFUImageModel",)
    shape: tuple[int, ...]
    data: Floats
    err: Floats
    dq: Bits
    var_poisson: Floats | None
    var_rnoise: Floats | None
    var_flat: Floats | None


class NothingModel(DataModel):
    """What stands for a product that a step legitimately did not make: metadata and history only."""

    schema_name = "nothing.schema.json"
    reads = ()


class CubeModel(DataModel):
    """One image for every integration (integrations, rows, columns)."""

    schema_name = "cube.schema.json"
    reads = ()
    shape: tuple[int, ...]
    data: Floats
    err: Floats
    dq: Bits
    var_poisson: Floats | None
    var_rnoise: Floats | None
    var_flat: Floats | None
    int_times: Table | None


class IFUImageModel(DataModel):
    """Image (rows, columns) of an integral-field unit."""

    schema_name = "ifuimage.schema.json"
    reads = ("ImageModel",)
    shape: tuple[int, ...]
    data: Floats
    err: Floats
    dq: Bits
    var_poisson: Floats | None
    var_rnoise: Floats | None
    var_flat: Floats | None


class RampFitOutputModel(DataModel):
    """Results of the ramp fit for every segment (integrations, segments, rows, columns)."""

    schema_name = "rampfitoutput.schema.json"
    primary = "slope"
    reads = ()


class SourceCatalogModel(DataModel):
    """Sources found in an image: ``catalog`` has a row for each, positions in pixels and degrees."""

    schema_name = "sourcecatalog.schema.json"
    primary = "catalog"
    reads = ()
    catalog: Table
    extension = ".ecsv"


class AmiLgFitModel(DataModel):
    """Images of an interferometric fit."""

    schema_name = "amilgfit.schema.json"
    primary = "centered_image"
    reads = ()


class ContrastModel(DataModel):
    """Contrast of a coronagraph."""

    schema_name = "contrast.schema.json"
    primary = "contrast_table"
    reads = ()


class GuiderCalModel(DataModel):
    """Calibrated data of the guider (frames, rows, columns) in DN/s."""

    schema_name = "guidercal.schema.json"
    reads = ()
    shape: tuple[int, ...]
    data: Floats
    err: Floats
    dq: Bits


class GuiderRawModel(DataModel):
    """Raw data of the guider (integrations, groups, rows, columns) in DN."""

    schema_name = "guiderraw.schema.json"
    reads = ("Level1bModel",)
    shape: tuple[int, ...]
    data: Floats
    err: Floats
    dq: Bits


class IFUCubeModel(DataModel):
    """Spectral cube (wavelength, y, x) in MJy/sr or Jy."""

    schema_name = "ifucube.schema.json"
    reads = ()
    shape: tuple[int, ...]
    data: Floats
    err: Floats
    dq: Bits
    weightmap: Floats
    wavetable: Table
    hdrtab: Table | None


class OutlierIFUOutputModel(DataModel):
    """Intermediate results of outlier detection in IFU images."""

    schema_name = "outlierifuoutput.schema.json"
    primary = "diffarr"
    reads = ()


class QuadModel(DataModel):
    """Four-dimensional data, such as aligned coronagraphic exposures."""

    schema_name = "quad.schema.json"
    reads = ()


class SegmentationMapModel(DataModel):
    """Number of the source that every pixel (rows, columns) belongs to; 0 is background."""

    schema_name = "segmentationmap.schema.json"
    reads = ()
    data: Bits


class SossExtractModel(DataModel):
    """Models of a SOSS extraction."""

    schema_name = "sossextract.schema.json"
    primary = "order1"
    reads = ()


class SossWaveGridModel(DataModel):
    """Wavelengths of a SOSS extraction."""

    schema_name = "sosswavegrid.schema.json"
    primary = "wavegrid"
    reads = ()


class SuperstripeRampModel(DataModel):
    """Ramps of a superstripe readout."""

    schema_name = "superstriperamp.schema.json"
    reads = ()


class TrapsFilledModel(DataModel):
    """Filled charge traps."""

    schema_name = "trapsfilled.schema.json"
    reads = ()
