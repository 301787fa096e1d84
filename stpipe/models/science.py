"""Models of exposures, from raw ramps to calibrated images."""

from __future__ import annotations

from stpipe.models.base import DataModel

__all__ = [
    "CubeModel",
    "IFUImageModel",
    "ImageModel",
    "Level1bModel",
    "RampFitOutputModel",
    "RampModel",
]


class Level1bModel(DataModel):
    """Uncalibrated ramps (integrations, groups, rows, columns) in DN, uint16."""

    schema_name = "level1b.schema.json"
    reads = ("RampModel",)


class RampModel(DataModel):
    """Ramps (integrations, groups, rows, columns) in DN, float32, with flags of every group.

    Uncalibrated files open as ramps: counts become float32, flags start as zero.
    """

    schema_name = "ramp.schema.json"
    reads = ("Level1bModel",)


class ImageModel(DataModel):
    """Image (rows, columns): count rates in DN/s, or calibrated."""

    schema_name = "image.schema.json"
    reads = ("IFUImageModel",)


class CubeModel(DataModel):
    """One image for every integration (integrations, rows, columns)."""

    schema_name = "cube.schema.json"
    reads = ()


class IFUImageModel(DataModel):
    """Image (rows, columns) of an integral-field unit."""

    schema_name = "ifuimage.schema.json"
    reads = ("ImageModel",)


class RampFitOutputModel(DataModel):
    """Results of the ramp fit for every segment (integrations, segments, rows, columns)."""

    schema_name = "rampfitoutput.schema.json"
    primary = "slope"
    reads = ()
