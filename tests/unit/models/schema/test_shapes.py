"""Arrays that must have the shape of another one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from stpipe import models
from stpipe.errors import InputError, ValidationError
from stpipe.models.base import REGISTRY


def written(path: Path, model: str, **arrays: np.ndarray) -> Path:
    """A FITS file with these extensions."""
    units = fits.HDUList([fits.PrimaryHDU()])
    units[0].header["DATAMODL"] = model
    for name, array in arrays.items():
        units.append(fits.ImageHDU(array, name=name))
    units.writeto(path)
    return path


@pytest.mark.parametrize(
    "name", ["ERR", "DQ", "VAR_POISSON", "VAR_RNOISE", "VAR_FLAT", "AREA", "WHT"]
)
def test_an_extension_of_another_shape(tmp_path: Path, name: str) -> None:
    """Refused when the file is opened, naming file, extension, what was found and what is allowed."""
    dtype = np.int32 if name == "DQ" else np.float32
    arrays = {"SCI": np.ones((8, 9), np.float32), name: np.ones((5, 5), dtype)}
    path = written(tmp_path / "x.fits", "ImageModel", **arrays)
    match = rf"x\.fits: .* in the extension {name} has the shape \(5, 5\); allowed is that of data"
    with pytest.raises(InputError, match=match + r" in SCI, \(8, 9\)"):
        models.open(path)


@pytest.mark.parametrize(
    ("model", "name", "shape", "fits_"),
    [
        ("RampModel", "PIXELDQ", (4, 5), True),
        ("RampModel", "PIXELDQ", (4, 6), False),
        ("RampModel", "GROUPDQ", (2, 3, 4, 5), True),
        ("RampModel", "GROUPDQ", (2, 2, 4, 5), False),
        ("RampModel", "ZEROFRAME", (2, 4, 5), True),
        ("DarkMIRIModel", "DQ", (2, 1, 4, 5), True),
        ("DarkMIRIModel", "DQ", (3, 1, 4, 5), False),
        ("RampModel", "REFOUT", (2, 3, 4, 1), True),
    ],
)
def test_what_agrees(
    tmp_path: Path, model: str, name: str, shape: tuple[int, ...], fits_: bool
) -> None:
    """Images of one size; as many of them, or one for all."""
    arrays = {"SCI": np.zeros((2, 3, 4, 5), np.float32), name: np.zeros(shape, np.uint8)}
    path = written(tmp_path / "x.fits", model, **arrays)
    if fits_:
        assert shape in models.open(path).shapes.values()
    else:
        with pytest.raises(InputError, match=f"in the extension {name} has the shape"):
            models.open(path)


def test_parts_of_lists_and_saving(tmp_path: Path) -> None:
    """A slit is told by its number; nothing is written that could not be opened."""
    model = models.MultiSlitModel()
    model.slits = [{"data": np.ones((3, 4), np.float32)} for _ in range(2)]
    path = model.save(tmp_path / "x.fits")
    model.slits[1].err = np.ones((3, 5), np.float32)
    with pytest.raises(ValidationError, match=r"slits\.1\.err in the extension ERR has the shape"):
        model.save(tmp_path / "y.fits")
    with fits.open(path) as units:
        units.append(fits.ImageHDU(np.ones((3, 5), np.float32), name="ERR", ver=2))
        units.writeto(tmp_path / "z.fits")
    with pytest.raises(InputError, match=r"z\.fits: slits 2: err in the extension ERR"):
        models.open(tmp_path / "z.fits")


def test_asdf_is_checked_as_well(tmp_path: Path) -> None:
    """Whatever the format."""
    import asdf

    tree = {"meta": {"model_type": "ImageModel"}, "data": np.ones((3, 4), "f4")}
    asdf.AsdfFile(tree | {"var_flat": np.ones((2, 2), "f4")}).write_to(tmp_path / "x.asdf")
    with pytest.raises(InputError, match=r"x\.asdf: var_flat in the extension VAR_FLAT"):
        models.open(tmp_path / "x.asdf")


def test_every_uncertainty_and_mask_names_its_array() -> None:
    """No schema of the package has flags, errors or variances of any shape beside data."""
    for model in REGISTRY.values():
        if not model.__module__.startswith("stpipe.models.classes."):
            continue  # of other tests
        schema = model.load_schema()
        for each in (schema, *schema.lists.values()):
            for path, field in each.arrays.items():
                like = field.shape_like
                assert like is None or like in each.arrays, (model.__name__, path)
                assert like is None or not field.is_table, (model.__name__, path)
                demanded = path in ("err", "dq", "pixeldq", "groupdq") or path.startswith("var_")
                if demanded and "data" in each.arrays and not field.is_table:
                    assert "data" == field.shape_like, (model.__name__, path)


def test_schemas_of_users(tmp_path: Path) -> None:
    """A schema says so, too; a name that is no array is refused."""
    place = {"type": "data", "dtype": "float32"}
    mine = {"data": {**place, "fits_hdu": "SCI"}, "sky": {**place, "fits_hdu": "SKY"}}
    for like in ("data", "dta"):
        mine["sky"]["shape_like"] = like
        path = tmp_path / f"{like}.schema.json"
        path.write_text(json.dumps({"properties": mine}))
        if like == "dta":
            with pytest.raises(
                InputError, match=r'of "dta", which is no array .did you mean "data"'
            ):
                models.model_class(path)
            return
        model = models.model_class(path)()
        model.data, model.sky = np.ones((2, 3)), np.ones((3, 2))
        with pytest.raises(ValidationError, match="sky in the extension SKY has the shape"):
            model.save(tmp_path / "x.fits")
