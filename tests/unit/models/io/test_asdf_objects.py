"""Live objects in metadata."""

from __future__ import annotations

import copy
import datetime as dt
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stpipe import models
from stpipe.errors import InputError, ValidationError
from stpipe.models import describe
from stpipe.models.compare import compare

ENDINGS = [".fits", ".fits.gz", ".asdf"]
CRDS = Path(__file__).parents[5] / "shared/data/crds_jwst/references/jwst"


@pytest.fixture
def wcs() -> Any:
    """A small world coordinate system."""
    gwcs = pytest.importorskip("gwcs")
    from astropy import coordinates, units
    from astropy.modeling import models as shapes

    frame = gwcs.coordinate_frames
    detector = frame.Frame2D(name="detector", axes_order=(0, 1), unit=(units.pix, units.pix))
    sky = frame.CelestialFrame(reference_frame=coordinates.ICRS(), name="world")
    plane = (shapes.Shift(-10.0) & shapes.Shift(-20.0)) | (shapes.Scale(1e-5) & shapes.Scale(1e-5))
    turn = shapes.Pix2Sky_TAN() | shapes.RotateNative2Celestial(5.6, -72.0, 180.0)
    return gwcs.WCS([(detector, plane | turn), (sky, None)])


@pytest.mark.parametrize("ending", ENDINGS)
def test_coordinates_are_live_objects(wcs: Any, tmp_path: Path, ending: str) -> None:
    """What is assigned is what one gets; after a file it means the same; changes to it are kept."""
    image = models.ImageModel(np.ones((3, 4)))
    image.meta.wcs = wcs
    assert image.meta.wcs is wcs
    path = image.save(tmp_path / f"x{ending}")
    for opened in (models.open(path), models.open_metadata(path)):
        assert wcs(1, 2) == opened.meta.wcs(1, 2)
        assert opened.meta.wcs is opened.get("meta.wcs")
    again = models.open(path)
    again.meta.wcs.bounding_box = ((0, 3), (0, 2))
    assert again.copy().meta.wcs is not again.meta.wcs
    saved = models.open(again.save(tmp_path / f"y{ending}"))
    assert again.meta.wcs.bounding_box == saved.meta.wcs.bounding_box
    other = models.CubeModel(np.zeros((1, 3, 4)))
    other.update(saved)
    assert wcs(1, 2) == other.meta.wcs(1, 2)


def test_nodes_are_those_of_the_asdf_library(wcs: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What converts objects directly makes the nodes, and the objects, that the library makes."""
    from astropy.modeling import models as shapes
    from gwcs.selector import LabelMapperArray, RegionsSelector

    from stpipe.models.io import asdf_conversion
    from stpipe.models.io.asdf_objects import comparable, revived, serialised

    table = shapes.Tabular1D([1.0, 2.0], [3.0, 4.0], bounds_error=False)
    there = table & shapes.Polynomial1D(2, c0=0.1, c2=3.0)
    there.inverse = shapes.Identity(2)
    labels = LabelMapperArray(np.arange(12, dtype=np.int32).reshape(3, 4))
    slices = RegionsSelector(("x", "y"), ("u", "v"), {1: there, 2: there}, labels)
    wcs.bounding_box = ((0, 3), (0, 2))
    objects = [wcs, {"same": wcs, "parts": [there, slices]}, there]
    (direct,) = serialised({"": objects}).values()
    assert asdf_conversion.nodes_of(objects) is not None
    assert direct[0] is direct[1]["same"]
    made = revived(direct, "", None)
    assert made[0] is made[1]["same"]
    assert wcs(1, 2) == made[0](1, 2)
    monkeypatch.setattr(asdf_conversion, "nodes_of", lambda _: None)
    (usual,) = serialised({"": objects}).values()
    assert comparable(usual, None) == comparable(direct, None)
    assert comparable(objects, None) == comparable(made, None)
    monkeypatch.setattr(asdf_conversion, "object_of", lambda _: None)
    assert comparable(objects, None) == comparable(revived(usual, "", None), None)


def test_copies_share_transforms_and_nothing_else_of_coordinates(wcs: Any) -> None:
    """Boxes and lists of transforms are a copy's own, whichever of both is changed; so are lists."""
    from astropy.modeling import models as shapes

    image = models.ImageModel(np.ones((3, 4)))
    first = wcs.input_frame
    middle = type(first)(name="middle", axes_order=(0, 1), unit=first.unit)
    wcs.insert_frame(first, shapes.Identity(2), middle)
    image.meta.wcs = wcs
    image.set("open_slits", [{"name": "a", "wcs": wcs}])
    image.copy().meta.wcs.bounding_box = ((0, 3), (0, 2))
    assert wcs.bounding_box is None
    other = image.copy()
    wcs.bounding_box = ((0, 1), (0, 1))
    wcs.set_transform("middle", "world", shapes.Identity(2))
    assert other.meta.wcs.bounding_box is None
    assert 2.0 != other.meta.wcs(1.0, 2.0)[1]
    assert other.get("open_slits")[0]["wcs"] is other.meta.wcs
    image.get("open_slits")[0]["name"] = "b"
    assert "a" == other.get("open_slits")[0]["name"]
    again = other.copy().meta.wcs
    pairs = zip(other.meta.wcs.pipeline[1:], again.pipeline[1:], strict=True)
    assert all(one.transform is two.transform for one, two in pairs)


def test_nodes_of_unread_objects_are_not_changed_by_copies(wcs: Any, tmp_path: Path) -> None:
    """A value put beside unread objects into a copy, such as a group with a tag, stays there."""
    from stpipe.models.formats.asdf_yaml import TaggedDict
    from stpipe.models.io.content import Content, lookup, put

    group = TaggedDict.of("tag:example.org:group-1.0.0", {"inner": 1})
    original = Content(tree={"group": group})
    put(original.copy().tree, "group.inner", 2)
    assert 1 == lookup(original.tree, "group.inner")
    image = models.ImageModel(np.ones((3, 4)))
    image.meta.wcs = wcs
    with models.open(image.save(tmp_path / "x.fits")) as opened:
        copy.deepcopy(opened).meta.wcs.bounding_box = ((0, 3), (0, 2))
        assert opened.meta.wcs.bounding_box is None


def test_ordered_mappings_within_objects_stay(wcs: Any, tmp_path: Path) -> None:
    """Objects that keep an order, such as slices by their place, pass from file to file untouched."""
    from astropy.modeling import models as shapes
    from gwcs.selector import LabelMapperDict

    by_place = {0.5: shapes.Mapping((0,), n_inputs=2) | shapes.Const1D(7)}
    mapper = LabelMapperDict(
        ("x", "y"), by_place, inputs_mapping=shapes.Mapping((0,), n_inputs=2), atol=0.1
    )
    image = models.ImageModel(np.ones((3, 4)))
    image.meta.wcs = type(wcs)([(wcs.input_frame, mapper), ("label", None)])
    first = image.save(tmp_path / "x.fits")
    with models.open(first) as opened:
        second = opened.copy().save(tmp_path / "y.fits")
    with models.open(second) as again:
        assert 7 == again.meta.wcs.forward_transform(0.5, 3.0)


def test_every_part_has_coordinates_of_its_own(wcs: Any, tmp_path: Path) -> None:
    """Parts of lists hold live objects, too."""
    exposure = models.MultiSlitModel()
    for shift in (0, 5):
        exposure.slits.append({"data": np.zeros((2, 2)), "name": str(shift)})
        exposure.slits[-1].meta.wcs = copy.deepcopy(wcs)
        exposure.slits[-1].meta.wcs.name = f"shifted by {shift}"
    again = models.open(exposure.save(tmp_path / "x.fits"))
    assert ["shifted by 0", "shifted by 5"] == [part.meta.wcs.name for part in again.slits]


def test_arrays_and_other_objects_are_metadata(tmp_path: Path) -> None:
    """Whatever the asdf library can store can be stored; the rest is refused by name."""
    image = models.ImageModel(np.ones((3, 4)))
    image.set("meta.lookup", np.arange(1000.0))
    image.set("meta.nested", {"complex": 1 + 2j, "list": [np.arange(3)]})
    for ending in ENDINGS:
        again = models.open(image.save(tmp_path / f"x{ending}"))
        np.testing.assert_array_equal(np.arange(1000.0), again.meta.lookup)
        assert 1 + 2j == again.meta.nested.complex
        np.testing.assert_array_equal([0, 1, 2], again.meta.nested.list[0])
    with pytest.raises(
        ValidationError, match=r"meta.when is a datetime.timedelta; metadata are te"
    ):
        image.set("meta.when", dt.timedelta(1))


def test_objects_of_absent_packages_survive_and_say_what_to_install(tmp_path: Path) -> None:
    """Nobody needs the packages until an object is asked for; then the message names them."""
    text = (
        "#ASDF 1.0.0\n#ASDF_STANDARD 1.6.0\n%YAML 1.1\n--- !<tag:stsci.edu:asdf/core/asdf-1.1.0>\n"
        "meta: {wcs: !<tag:stsci.edu:gwcs/wcs-99.0.0> {name: far}}\n...\n"
    )
    (tmp_path / "x.asdf").write_text(text)
    for _ in range(2):
        model = models.open(models.open(tmp_path / "x.asdf").save(tmp_path / "x.asdf"))
        with pytest.raises(InputError, match=r"meta.wcs is an .*:gwcs/wcs-99.0.0\); install gwcs"):
            _ = model.meta.wcs


def test_damaged_objects_are_said_to_be_damaged(wcs: Any, tmp_path: Path) -> None:
    """An object whose description makes no sense is an input error that names it."""
    image = models.ImageModel()
    image.meta.wcs = wcs
    path = image.save(tmp_path / "x.asdf")
    path.write_bytes(path.read_bytes().replace(b"steps:", b"stops:"))
    with pytest.raises(InputError, match=r"x.asdf: meta.wcs is damaged: "):
        _ = models.open(path).meta.wcs


def test_asdf_is_imported_only_for_objects(wcs: Any, tmp_path: Path) -> None:
    """Opening, reading pixels and saving a file with coordinates imports neither asdf nor gwcs."""
    image = models.ImageModel(np.ones((3, 4)))
    image.meta.wcs = wcs
    path = image.save(tmp_path / "x.fits")
    code = (
        "import sys; from stpipe import models; m = models.open(sys.argv[1]); m.data; "
        "m.meta.exposure.nints = 1; m.copy().save(sys.argv[1]); "
        "print([n for n in ('astropy', 'asdf', 'gwcs') if n in sys.modules])"
    )
    command = [sys.executable, "-c", code, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "[]\n" == done.stdout
    assert wcs(1, 2) == models.open(path).meta.wcs(1, 2)


@pytest.mark.skipif(not CRDS.is_dir(), reason=f"{CRDS} is absent")
def test_reference_transforms_of_the_archive(tmp_path: Path) -> None:
    """The archive's own references open as what they are; transforms work, before and after."""
    pytest.importorskip("asdf_astropy")
    opened = 0
    for path in sorted(CRDS.glob("*/*.asdf")):
        model = models.open(path)
        assert model.to_flat_dict()["meta.model_type"] == type(model).__name__
        again = models.open(model.save(tmp_path / "x.asdf"))
        if isinstance(model, models.DistortionModel):
            inputs = range(1, model.model.n_inputs + 1)
            np.testing.assert_array_equal(model.model(*inputs), again.model(*inputs))
        opened += 1
    assert opened > 50


@pytest.mark.parametrize("ending", ENDINGS)
def test_every_region_keeps_its_transform(tmp_path: Path, ending: str) -> None:
    """Transforms in an ordered mapping keep their arrays, also in copies of a file."""
    from astropy.modeling.models import Mapping, Polynomial2D
    from gwcs import WCS
    from gwcs.selector import LabelMapperArray, RegionsSelector

    from stpipe.science.wcs.nirspec import frames

    regions = np.repeat([1, 2, 3], 4).reshape(6, 2)
    transforms = {
        n: Mapping((0, 1, 0, 1, 0, 1))
        | Polynomial2D(1, c0_0=n) & Polynomial2D(1, c1_0=n) & Polynomial2D(1, c0_1=n)
        for n in (1, 2, 3)
    }
    selector = RegionsSelector(
        ("x", "y"), ("x_slice", "y_slice", "lam"), transforms, LabelMapperArray(regions)
    )
    image = models.IFUImageModel(np.ones(regions.shape))
    image.meta.wcs = WCS([(frames.pixels("detector"), selector), (frames.slicer(), None)])
    rows, columns = np.indices(regions.shape, dtype=float)
    expected = image.meta.wcs(columns, rows)

    path = image.save(tmp_path / f"x{ending}")
    for copied in (path, models.open(path).save(tmp_path / f"y{ending}")):
        with models.open(copied) as again:
            np.testing.assert_allclose(expected, again.meta.wcs(columns, rows), rtol=1e-14)


def test_transforms_within_themselves(tmp_path: Path) -> None:
    """As the inverse of an inverse is, in products of jwst: copied, written, compared and shown."""
    cycle = b"""#ASDF 1.0.0
#ASDF_STANDARD 1.6.0
%YAML 1.1
--- !<tag:stsci.edu:asdf/core/asdf-1.1.0>
meta:
  model_type: ImageModel
  wcs: &way !<tag:nowhere.org:jwst/odd-1.0.0>
    inverse: !<tag:nowhere.org:jwst/odd-1.0.0>
      inverse: *way
      con: !<tag:stsci.edu:asdf/core/ndarray-1.1.0> {source: 'fits:CON,1'}
...
"""
    (tmp_path / "x.asdf").write_bytes(cycle)
    with models.open(tmp_path / "x.asdf") as opened:
        first, second = (
            m.save(tmp_path / n) for m, n in ((opened, "a.asdf"), (opened.copy(), "b.asdf"))
        )
    with models.open(first) as one, models.open(second) as again:
        assert [] == compare(one, again)
        assert "<odd>" == describe.describe(again)["metadata"]["meta.wcs"]
