"""The facts and pictures that a report shows of one file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stpipe.models import views
from stpipe.project.report import curves, images
from stpipe.project.report.histogram import histogram

if TYPE_CHECKING:
    from stpipe.models import DataModel, IFUCubeModel

__all__ = ["Recipe", "Shown", "show"]

_MOST = 10  # spectra of a product
_FLAGS = ("dq", "pixeldq")
_FACTS = {
    "instrument": "meta.instrument.name",
    "detector": "meta.instrument.detector",
    "filter": "meta.instrument.filter",
    "pupil": "meta.instrument.pupil",
    "grating": "meta.instrument.grating",
    "band": "meta.instrument.band",
    "exposure type": "meta.exposure.type",
    "target": "meta.target.catalog_name",
    "begun": "meta.observation.date",
    "integrations": "meta.exposure.nints",
    "groups": "meta.exposure.ngroups",
    "subarray": "meta.subarray.name",
}
# What a recipe consists of; products made at other times by the same recipe share it.
_KEPT = ("step", "class", "status", "reason", "source", "parameters", "sources", "references")


@dataclass(frozen=True)
class Recipe:
    """The steps that made a product, with parameters and references, without times."""

    records: Sequence[Mapping[str, Any]]
    software: Mapping[str, str]

    @property
    def key(self) -> str:
        """Equal for products that were made in the same way."""
        return json.dumps([self.records, self.software], sort_keys=True, default=str)


@dataclass
class Shown:
    """One product: facts, pictures and the recipe that made it."""

    path: Path
    model: str
    facts: Mapping[str, str]
    recipe: Recipe
    shape: tuple[int, ...] = ()
    unit: str = ""
    caption: str = ""  # which plane the pictures show
    image: bytes | None = None
    histogram: str = ""
    flag_map: bytes | None = None
    flags: Sequence[images.Flag] = field(default_factory=list)
    warnings: Sequence[str] = ()
    curves: Sequence[str] = ()
    more: int = 0  # spectra that are not shown


def show(path: Path, longest: int) -> Shown:
    """Read a product; pictures have at most `longest` pixels on a side.

    Raises
    ------
    InputError
        When the file is damaged.
    """
    from stpipe import models

    with models.open(path) as model:
        records = list(model.provenance or [])
        shown = Shown(path, type(model).__name__, _facts(model), _recipe(records))
        shown.unit = str(model.get("meta.bunit_data") or "")
        shown.warnings = [w for r in records for w in r.get("warnings", ())]
        if spectra := views.curves_of(model):
            shown.curves = [curves.spectrum(curve) for curve in spectra[:_MOST]]
            shown.more = max(0, len(spectra) - _MOST)
        elif "slits" in model.schema.lists:
            _add_image(shown, views.slits_on_detector(model), "slits", longest)
        elif isinstance(model, models.IFUCubeModel):
            _add_cube(shown, model, longest)
        elif (name := model.primary) and name in model.shapes and not _is_table(model, name):
            _add_pictures(shown, model, name, longest)
    return shown


def _add_cube(shown: Shown, cube: IFUCubeModel, longest: int) -> None:
    """The mean of its planes, and the spectrum of the brightest spaxel."""
    shown.shape = tuple(cube.shape)
    image = views.white_light(cube)
    _add_image(shown, image, "mean of all planes", longest)
    if np.isfinite(image).any():
        shown.curves = [curves.spectrum(views.brightest(cube, image))]


def _add_image(shown: Shown, image: Any, caption: str, longest: int) -> None:
    shown.caption = caption
    shown.image = images.brightness(image, longest)
    shown.histogram = histogram(image, shown.unit)


def _is_table(model: DataModel, name: str) -> bool:
    return bool(model.schema.arrays[name].is_table) or len(model.shapes[name]) < 2  # noqa: PLR2004 - an image has two


def _add_pictures(shown: Shown, model: DataModel, name: str, longest: int) -> None:
    from stpipe.models.display import image_of

    shown.shape = tuple(model.shapes[name])
    planes = {3: "last integration", 4: "last group of the last integration"}
    shown.caption = planes.get(len(shown.shape), "")
    image = image_of(model, name, None)
    shown.image = images.brightness(image, longest)
    shown.histogram = histogram(image, shown.unit)
    flags = _flags(model, image.shape)
    if flags is not None:
        from stpipe.models import dqflags

        shown.flag_map, shown.flags = images.flag_map(flags, dqflags.pixel, longest)


def _flags(model: DataModel, shape: tuple[int, ...]) -> Any:
    """The flags of the plane that is shown: of the pixel, and in a ramp of its last group too."""
    from stpipe.models.display import image_of

    name = next((n for n in _FLAGS if n in model.shapes), None)
    if name is None:
        return None
    flags = image_of(model, name, None)
    if "groupdq" in model.shapes:
        flags = flags | image_of(model, "groupdq", None)
    return flags if flags.shape == shape else None


def _facts(model: DataModel) -> dict[str, str]:
    values = {name: model.get(path) for name, path in _FACTS.items()}
    return {name: str(value) for name, value in values.items() if value not in (None, "", "N/A")}


def _recipe(records: Sequence[Mapping[str, Any]]) -> Recipe:
    kept = [{k: r[k] for k in _KEPT if k in r} for r in records]
    return Recipe(kept, next((r["software"] for r in reversed(records) if "software" in r), {}))
