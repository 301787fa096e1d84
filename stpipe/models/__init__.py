"""Data models: arrays and metadata behind a schema, in FITS or ASDF files.

>>> from stpipe import models
>>> with models.open("jw00793001001_01101_00001_nis_rate.fits") as image:  # doctest: +SKIP
...     print(image.meta.instrument.name, image.data.mean())

Importing this package imports numpy and nothing else that takes time.
"""

from __future__ import annotations

import functools
import os
import re
from pathlib import Path

from stpipe.models.base import DataModel
from stpipe.models.metadata import Metadata
from stpipe.models.opening import open_metadata
from stpipe.models.opening import open_model as open  # noqa: A004 - models.open is the name
from stpipe.models.references import (
    DarkMIRIModel,
    DarkModel,
    FlatModel,
    GainModel,
    IPCModel,
    LastFrameModel,
    LinearityModel,
    MaskModel,
    ReadnoiseModel,
    ReferenceFileModel,
    ResetModel,
    RSCDModel,
    SaturationModel,
    SuperBiasModel,
)
from stpipe.models.schema import Field, Schema
from stpipe.models.science import (
    CubeModel,
    IFUImageModel,
    ImageModel,
    Level1bModel,
    RampFitOutputModel,
    RampModel,
)

__all__ = [
    "CubeModel",
    "DarkMIRIModel",
    "DarkModel",
    "DataModel",
    "Field",
    "FlatModel",
    "GainModel",
    "IFUImageModel",
    "IPCModel",
    "ImageModel",
    "LastFrameModel",
    "Level1bModel",
    "LinearityModel",
    "MaskModel",
    "Metadata",
    "RSCDModel",
    "RampFitOutputModel",
    "RampModel",
    "ReadnoiseModel",
    "ReferenceFileModel",
    "ResetModel",
    "SaturationModel",
    "Schema",
    "SuperBiasModel",
    "model_class",
    "open",
    "open_metadata",
]


def model_class(schema: str | os.PathLike[str]) -> type[DataModel]:
    """A model class for a schema file; ``my.schema.json`` gives ``MyModel``.

    Raises
    ------
    InputError
        When the schema is missing or wrong.
    """
    return _model_class(Schema.load(Path(schema)).path)


@functools.cache
def _model_class(path: Path) -> type[DataModel]:
    loaded = Schema.load(path)
    words = re.split(r"[^0-9A-Za-z]+", path.name.partition(".")[0])
    name = "".join(word[:1].upper() + word[1:] for word in words) + "Model"
    primary = next(iter(loaded.arrays), "data")
    body = {
        "schema_name": str(path),
        "primary": "data" if "data" in loaded.arrays else primary,
        "__doc__": loaded.title or f"Model of the schema {path.name}.",
    }
    return type(name, (DataModel,), body)
