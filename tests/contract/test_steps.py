"""What every step keeps to, whatever it computes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import mrs_spectra
import nirspec_slits
import numpy as np
import pytest

from stpipe import models, naming
from stpipe.core.library_step import LibraryStep
from stpipe.core.loading import load
from stpipe.core.pipeline import LibraryPipeline
from stpipe.core.ramp_step import RampStep
from stpipe.core.step import Step
from stpipe.parameters.readers import read_cfg
from stpipe.parameters.resolution import resolve
from stpipe.parameters.settings import Settings
from stpipe.parameters.specs import rules
from stpipe.parameters.writer import export
from stpipe.pipelines.detector1 import Detector1Pipeline
from stpipe.pipelines.image2 import Image2Pipeline
from stpipe.pipelines.spec2 import Spec2Pipeline
from stpipe.registry import PIPELINES, STEPS, summary
from stpipe.steps.stage2.extract_1d.step import Extract1dStep
from stpipe.steps.stage2.resample_spec import ResampleSpecStep
from stpipe.steps.stage3.combine_1d import Combine1dStep
from stpipe.steps.stage3.source_catalog.step import SourceCatalogStep

Once = Callable[[str, Callable[[Path], object]], Path]
SPECTRAL = {"srctype", "extract_1d", "resample_spec", "combine_1d"}
INSTRUMENTS = {"mirimage": "MIRI", "nrca1": "NIRCAM"}


def arrays(model: Any) -> dict[str, Any]:
    """Every array of a model; tables by column."""
    whole = {name: np.asarray(getattr(model, name)) for name in model.shapes}
    for path in model.schema.lists:
        for number, part in enumerate(getattr(model, path)):
            whole |= {f"{path}.{number}.{n}": np.asarray(getattr(part, n)) for n in part.shapes}
    return {name: a for name, a in whole.items() if a.dtype.names is None} | {
        f"{name}.{column}": a[column] for name, a in whole.items() for column in a.dtype.names or ()
    }


def same_arrays(expected: dict[str, Any], found: dict[str, Any]) -> None:
    """The same arrays, bit for bit."""
    assert expected.keys() == found.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(array, found[name], err_msg=name)


def flatten(result: Any) -> list[Any]:
    if isinstance(result, models.ModelLibrary):
        return list(result)
    return list(result) if isinstance(result, tuple) else [result]


@pytest.fixture(scope="module", params=sorted(INSTRUMENTS))
def exposure(request: pytest.FixtureRequest, demo_folder: Path) -> Path:
    """A raw exposure with and one without the steps of the mid-infrared."""
    return next(demo_folder.glob(f"uncal/*00001_{request.param}_uncal.fits"))


@pytest.fixture(params=sorted(STEPS))
def step(request: pytest.FixtureRequest) -> type[Step]:
    return load(request.param)


@pytest.mark.parametrize("alias", sorted({**STEPS, **PIPELINES}))
def test_the_registry_and_the_class_agree(alias: str) -> None:
    """One table: the alias finds the class that carries it, and the listing its first line."""
    cls = load(alias)

    assert alias == cls.alias
    assert len(summary(alias)) > 10
    assert (cls.__doc__ or "").strip()


def test_declarations_are_complete(step: type[Step]) -> None:
    """Suffix, status, documented parameters, annotated types."""
    assert step.suffix
    assert step.status
    assert f"meta.cal_step.{step.status}" in models.RampModel.load_schema().metadata
    for name, rule in rules(step).items():
        assert rule.help, f"{step.alias}.{name} has no help"
    typed = {n for cls in step.__mro__ for n in getattr(cls, "__annotations__", {})}
    assert {n for n in rules(step) if n in step.spec} <= typed, "parameters are typed attributes"


def test_suffixes_can_be_taken_off_again(step: type[Step]) -> None:
    """A product's name leads back to its root."""
    for output in step.products(step, "RampModel", {}):  # type: ignore[arg-type]
        assert ("x", output.suffix) == tuple(
            vars(naming.split(f"x_{output.suffix}.fits")).values()
        )[:2]


def test_parameters_round_trip(step: type[Step], tmp_path: Path) -> None:
    """Defaults that are exported and read again are the same."""
    parameters = resolve(step, Settings())
    path = tmp_path / "step.cfg"
    path.write_text(export(step.target(), parameters))

    assert dict(parameters.values) == dict(resolve(step, read_cfg(path).settings).values)


@pytest.fixture
def spectra(request: pytest.FixtureRequest, step: type[Step]) -> Iterator[Path | None]:
    """For steps that are for spectra alone the folder of some, with its references in force."""
    if step.alias not in SPECTRAL:
        yield None
        return
    # Only a slit can be rectified, and only of the whole detector.
    name = "spectra_folder" if step is ResampleSpecStep else "series_folder"
    folder = request.getfixturevalue(name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CRDS_PATH", str(folder / "crds"))
        yield folder


@pytest.fixture
def source(
    step: type[Step],
    exposure: Path,
    crds: Path,
    spectra: Path | None,
    once: Once,
    tmp_path: Path,
) -> Path:
    """A file that the step reads: the raw exposure, or a rate for steps that follow the fit."""
    del crds
    if spectra is not None:
        single = "nrca1" in exposure.name or "CubeModel" not in step.input_models
        model = "ImageModel" if single else "CubeModel"
        made = once(f"{spectra.name}_{model}", partial(write_spectral_products, spectra, model))
        kinds = {Extract1dStep: "cal", ResampleSpecStep: "cal", Combine1dStep: "x1d"}
        return made / f"{kinds.get(step, 'rate')}.fits"
    if step.input_models == ("GuiderRawModel",):
        with models.open(exposure) as raw:
            guiding = models.GuiderRawModel(raw)
            guiding.meta.exposure.type = "FGS_TRACK"
            return guiding.save(tmp_path / "x_dq_init.fits")
    if "ImageModel" not in step.input_models:
        return without_image(step, exposure, tmp_path)
    from stpipe.steps.stage1.ramp_fit import RampFitStep

    rate, _ = RampFitStep.call(str(exposure))
    if not issubclass(step, (LibraryStep, SourceCatalogStep)):
        return rate.save(tmp_path / "x_rate.fits")
    return Image2Pipeline.call(rate).image.save(tmp_path / "x_cal.fits")


def without_image(step: type[Step], exposure: Path, folder: Path) -> Path:
    """A file for a step that reads no images; of types for which there are no references here."""
    if "MRSMultiSpecModel" in step.input_models:
        return mrs_spectra.spectrum("1", "MEDIUM", 1, "NRS_IFU").save(folder / "x_x1d.fits")
    if step.input_models == ("IFUImageModel",):
        return slices(folder)
    if "MultiSlitModel" in step.input_models:
        slits = nirspec_slits.fixed_slits()
        slits.meta.exposure.type = "NRS_LAMP"
        return slits.save(folder / "x_srctype.fits")
    return exposure


def slices(folder: Path) -> Path:
    """An exposure of an integral-field unit, for which there are no references here."""
    image: Any = models.IFUImageModel(np.ones((8, 8), np.float32))
    image.meta.instrument.name, image.meta.exposure.type = "MIRI", "MIR_MRS"
    return Path(image.save(folder / "x_cal.fits"))


def write_spectral_products(spectra: Path, model: str, folder: Path) -> None:
    """Spectral rates of an exposure or of its integrations, and the same calibrated."""
    rates = Detector1Pipeline.call(max(spectra.glob("uncal/*.fits")))
    rate = next(each for each in rates if type(each).__name__ == model).save(folder / "rate.fits")
    products = Spec2Pipeline.call(rate)
    products.calibrated.save(folder / "cal.fits")
    products.spectra.save(folder / "x1d.fits")


def test_a_file_and_a_model_give_the_same_product(step: type[Step], source: Path) -> None:
    """In memory and from disk; the input is left alone, in memory and on disk."""
    before = hashlib.sha256(source.read_bytes()).digest()
    with models.open(source) as model:
        given, history = arrays(model), list(model.provenance)
        from_model = flatten(step().run(model))
        same_arrays(given, arrays(model))
        assert history == model.provenance

    from_file = flatten(step().run(source))

    assert before == hashlib.sha256(source.read_bytes()).digest()
    for one, other in zip(from_model, from_file, strict=True):
        assert type(one) is type(other)
        same_arrays(arrays(one), arrays(other))


def test_the_product_is_valid_and_says_how_it_was_made(
    step: type[Step], source: Path, tmp_path: Path
) -> None:
    """Status, history, references with checksum; and the file holds what memory held."""
    for product in flatten(step().run(source)):
        path = product.save(tmp_path / "y_product.fits")
        with models.open(path) as again:
            record = again.provenance[-1]
            assert step.target() == record["class"]
            assert again.get(f"meta.cal_step.{step.status}") == record["status"]
            assert record["status"] in ("COMPLETE", "SKIPPED")
            if record["status"] == "SKIPPED":
                assert record["reason"]
            else:
                wanted = set(step().wanted_references(again.to_flat_dict()))
                assert wanted == set(record["references"])
                assert all(
                    "sha256" in r or r["name"] == "N/A" for r in record["references"].values()
                )
            same_arrays(arrays(product), arrays(again))


def test_what_a_ramp_step_returns_keeps_shapes_and_types(step: type[Step], source: Path) -> None:
    """A ramp step changes values, never the form of the ramp."""
    if not issubclass(step, RampStep):
        pytest.skip(f"{step.alias} makes no ramp")
    with models.RampModel(source) as ramp:
        product = step().run(ramp)

        assert ramp.shape == product.shape
        assert (np.float32, np.uint8, np.uint32) == tuple(
            getattr(product, n).dtype.type for n in ("data", "groupdq", "pixeldq")
        )


def test_a_pipeline_skips_it_and_records_why(step: type[Step], source: Path) -> None:
    """Skipped by parameter: the data pass through and the product says so."""
    from stpipe import Pipeline

    class Only(LibraryPipeline if issubclass(step, LibraryStep) else Pipeline):  # type: ignore[misc]
        step_defs = {"only": step}

        def process(self, model: Any) -> Any:
            return self.only(model)

    (product,) = flatten(Only(steps={"only": {"skip": True}}).run(source))

    record = product.provenance[-1]
    assert ("skip = True", "keyword") == (record["reason"], record["source"])
    assert "SKIPPED" == product.get(f"meta.cal_step.{step.status}")
    with models.open(source) as model:
        same_arrays(arrays(model), arrays(product))
