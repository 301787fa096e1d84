"""Associations, and libraries that hold many exposures one at a time."""

from __future__ import annotations

import gc
import json
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stpipe import models
from stpipe.errors import InputError


def exposure(number: int, detector: str = "NRCA1") -> models.ImageModel:
    image = models.ImageModel(np.full((50, 50), number, np.float32))
    image.meta.instrument.detector = detector
    parts = {"program_number": "01234", "observation_number": "001", "visit_number": "002"}
    parts |= {"visit_group": "02", "sequence_id": "1", "activity_id": "01"}
    for name, value in (parts | {"exposure_number": f"{number:05d}"}).items():
        image.set(f"meta.observation.{name}", value)
    return image


@pytest.fixture
def asn(tmp_path: Path) -> Path:
    """Two exposures, one of them with two detectors, and a background elsewhere."""
    (tmp_path / "data").mkdir()
    exposure(1).save(tmp_path / "data" / "a_cal.fits")
    exposure(1, "NRCA2").save(tmp_path / "data" / "b_cal.fits")
    exposure(2).save(tmp_path / "data" / "c_cal.fits")
    background = models.ImageModel(np.zeros((2, 2))).save(tmp_path / "background.fits")
    members = [{"expname": f"data/{name}_cal.fits", "exptype": "science"} for name in "abc"]
    members.append({"expname": str(background), "exptype": "BACKGROUND", "note": "dark"})
    tree = {"asn_id": "a3001", "asn_pool": "pool.csv", "asn_type": "image3", "version_id": 5}
    tree["products"] = [{"name": "combined", "members": members}]
    path = tmp_path / "x_asn.json"
    path.write_text(json.dumps(tree))
    return path


def test_association_files_of_the_archive(asn: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths are relative to the file, wherever one is; absolute ones and extra keys are kept."""
    monkeypatch.chdir(asn.parent / "data")
    found = models.load_association("../x_asn.json")
    assert ("a3001", "pool.csv", "image3", 5) == (
        found.asn_id,
        found.asn_pool,
        found.asn_type,
        found.more["version_id"],
    )
    assert "combined" == found.products[0].name
    assert ["a_cal.fits", "b_cal.fits", "c_cal.fits"] == [
        member.path.name for member in found.products[0].of_type("science")
    ]
    (background,) = found.products[0].of_type("background")
    assert (asn.parent / "background.fits", {"note": "dark"}) == (background.path, background.more)
    found.require_members()


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ("{", "is not JSON"),
        ([], 'there is no list "products"'),
        ({"products": []}, 'there is no list "products"'),
        ({"products": [{"name": "x"}]}, r'products\[0\] has no list "members"'),
        ({"products": [{"members": [{}, 5]}]}, r'members\[0\] has no "expname"\n.*members\[1\]'),
    ],
)
def test_wrong_associations(tmp_path: Path, tree: Any, message: str) -> None:
    """Every problem in one go."""
    (tmp_path / "x.json").write_text(tree if isinstance(tree, str) else json.dumps(tree))
    with pytest.raises(InputError, match=rf"x.json is not a valid association:(.|\n)*{message}"):
        models.load_association(tmp_path / "x.json")
    with pytest.raises(InputError, match="There is no file"):
        models.load_association(tmp_path / "y.json")


def test_missing_members_are_named_all_at_once(asn: Path) -> None:
    """The user sees every file that has to be fetched."""
    for name in "ac":
        (asn.parent / "data" / f"{name}_cal.fits").unlink()
    with pytest.raises(InputError, match=r"2 of 4 members not found:\n.*a_cal.fits\n.*c_cal"):
        models.ModelLibrary(asn)
    with pytest.raises(InputError, match=r"Members are missing:\n  nothing.fits\n  more.fits"):
        models.ModelLibrary(["nothing.fits", "more.fits"])
    with pytest.raises(InputError, match=r"Members are missing:\n  x{5000}$"):
        models.ModelLibrary(["x" * 5000])


def test_members_know_what_they_are_for(asn: Path) -> None:
    """Opened members name the association, their type among it, and have all their data."""
    with models.ModelLibrary(asn) as library:
        assert 4 == len(library)
        assert ([0, 1, 2], [3]) == (library.of_type("science"), library.of_type("background"))
        model = library[3]
        assert ("x_asn.json", "pool.csv") == (model.meta.asn.table_name, model.meta.asn.pool_name)
        assert "background" == model.meta.asn.exptype
        assert [1.0, 1.0, 2.0, 0.0] == [float(model.data.max()) for model in library]


def test_detectors_of_an_exposure_are_a_group(asn: Path) -> None:
    """Groups follow from headers, or from `meta.group_id`; exposures without either stand alone."""
    with models.ModelLibrary(asn) as library:
        first, second = (f"jw01234001002_02101_{number:05d}" for number in (1, 2))
        assert {first: [0, 1], second: [2], "exposure0003": [3]} == library.groups
        for group in ("another", first):  # what was known of a member is forgotten every time
            model = library[2]
            model.set("meta.group_id", group)
            library[2] = model
            assert group in library.groups
        assert {first: [0, 1, 2], "exposure0003": [3]} == library.groups


def test_groups_of_an_association_hold(asn: Path) -> None:
    """`group_id` of a member goes before its header: exposures of simulators share numbers."""
    content = json.loads(asn.read_text())
    for number, member in enumerate(content["products"][0]["members"]):
        member["group_id"] = f"g{number % 2}"
    asn.write_text(json.dumps(content))
    with models.ModelLibrary(asn) as library:
        assert {"g0": [0, 2], "g1": [1, 3]} == library.groups


def test_replaced_members_never_touch_the_inputs(asn: Path) -> None:
    """A replaced member is what the library gives from now on; the file is as it was."""
    before = {path: path.read_bytes() for path in asn.parent.rglob("*") if path.is_file()}
    with models.ModelLibrary(asn) as library:
        for number, model in enumerate(library):
            model.data = model.data + 10.0
            library[number] = model
        library[-1] = library[0]
        scratch = library.path(0).parents[1]
        assert [11.0, 11.0, 12.0, 11.0] == [float(model.data.max()) for model in library]
        assert "4 replaced" in repr(library)
        saved = library.save(asn.parent / "out")
        with pytest.raises(InputError, match="would be overwritten; give another folder"):
            library.save(asn.parent / "data")
    assert not scratch.exists()
    assert 12.0 == models.open(saved[2]).data.max()
    assert "c_cal.fits" == models.open(saved[2]).meta.filename
    for path, content in before.items():
        assert content == path.read_bytes()


def test_members_of_some_types(asn: Path) -> None:
    """They keep what was laid over them and what replaced them; others are gone."""
    with models.ModelLibrary(asn) as library:
        library.amend_member(3, {"meta.instrument.filter": "F070W"})
        library.amend_member(2, {"meta.instrument.filter": "F090W"})
        library[1] = exposure(9)
        library.amend_member(1, {"meta.instrument.filter": "F200W"})
        science, background = library.only("science"), library.only("background")
        assert [1.0, 9.0, 2.0] == [float(model.data.max()) for model in science]
        filters = [model.meta.instrument.filter for model in science]
        assert [None, "F200W", "F090W"] == filters
        assert filters == [science.metadata(n).meta.instrument.filter for n in range(3)]
        assert ["F070W"] == [model.meta.instrument.filter for model in background]
        assert 4 == len(library)


def test_lists_of_files_and_models(tmp_path: Path) -> None:
    """Files and models may be mixed; a scratch folder of one's own is kept."""
    path = exposure(5).save(tmp_path / "five.fits")
    scratch = tmp_path / "scratch"
    with models.ModelLibrary([path, exposure(6)], scratch=scratch) as library:
        assert [5.0, 6.0] == [float(model.data.max()) for model in library]
        assert "NRCA1" == library.metadata(1).meta.instrument.detector
        assert "asn" not in library[0].to_flat_dict()
        with pytest.raises(IndexError):
            library[2]
        assert not scratch.exists(), "models that are in memory stay there"
        library[0] = library[1]
    assert 1 == len(list(scratch.rglob("*.fits")))
    with (
        models.ModelLibrary([path, path]) as library,
        pytest.raises(InputError, match=r"two members have the name five.fits"),
    ):
        library.save(tmp_path / "out")


def test_models_are_saved_where_one_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They have no file that could be overwritten, before they have one."""
    monkeypatch.chdir(tmp_path)
    library = models.ModelLibrary([exposure(1), exposure(2)])
    assert [1.0, 2.0] == [models.open(path).data.max() for path in library.save(".")]
    with pytest.raises(InputError, match=r"member00000\.fits would be overwritten"):
        library.save(tmp_path)


def test_one_member_at_a_time_is_in_memory(tmp_path: Path) -> None:
    """Twenty exposures take the memory of one, read and replaced."""
    paths = []
    for number in range(20):
        image = models.ImageModel(np.full((500, 500), number, np.float32))
        paths.append(image.save(tmp_path / f"{number}.fits"))
    size = 500 * 500 * 4
    tracemalloc.start()
    with models.ModelLibrary(paths) as library:
        for number, model in enumerate(library):
            model.data = model.data * np.float32(2)
            library[number] = model
        total = sum(float(model.data[0, 0]) for model in library)
        peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert 380.0 == total
    assert peak < 6 * size


def test_changes_are_laid_over_members(tmp_path: Path) -> None:
    """Each time that one is opened, in order; its file, and copies made before, do not see them."""
    path = exposure(5).save(tmp_path / "five.fits")
    with models.ModelLibrary([path, exposure(6)]) as library:
        before = library.copy()

        def double(model: models.DataModel) -> None:
            model.data = model.data * 2

        for number in (0, 1):
            library.amend_member(number, {"meta.instrument.filter": "F090W"}, double)
            library.amend_member(number, {"meta.instrument.filter": "F200W"}, double)
        for number, value in ((0, 20.0), (1, 24.0)):
            assert value == float(library[number].data.max())
            assert "F200W" == library.metadata(number).get("meta.instrument.filter")
            assert value == 4 * float(before[number].data.max())
        assert [path.name] == [p.name for p in tmp_path.iterdir()]
        library[0] = exposure(7)
        assert 7.0 == float(library[0].data.max())
        saved = library.save(tmp_path / "out")
        assert 24.0 == float(models.ImageModel(saved[1]).data.max())


def test_changes_of_a_copy_are_its_own(asn: Path, tmp_path: Path) -> None:
    """Replacing a member of a copy leaves the original's; each outlives the other."""
    for scratch in (None, tmp_path / "scratch"):
        library = models.ModelLibrary(asn, scratch=scratch)
        library[0] = models.ImageModel(np.full((2, 2), 10, np.float32))
        copied, chosen = library.copy(), library.only("science")
        copied[0] = models.ImageModel(np.full((2, 2), 20, np.float32))
        chosen[0] = models.ImageModel(np.full((2, 2), 30, np.float32))
        found = [each[0].data[0, 0] for each in (library, copied, chosen)]
        assert [10, 20, 30] == found
        again = copied.copy()
        folder = library.path(0).parents[1]
        library.close()
        copied.close()
        assert 20 == again[0].data[0, 0]
        assert 1 == library[0].data[0, 0]
        del again, chosen
        assert (scratch is not None) == folder.exists()
        assert not list((scratch or tmp_path).glob("stpipe-library-*"))


def test_amendments_outlive_what_was_replaced(asn: Path) -> None:
    """When a library is closed its members are those of the files, amended as before."""
    with models.ModelLibrary(asn) as library:
        library.amend(lambda model: model.set("meta.mine", 1))
        library[0] = library[0]
    assert [1, 1] == [library[n].get("meta.mine") for n in (0, 1)]


def test_members_come_from_any_iterable(asn: Path) -> None:
    """The result of a glob is a list of files; what is neither a path nor a model is named."""
    assert 3 == len(models.ModelLibrary((asn.parent / "data").glob("*_cal.fits")))
    for wrong, words in [(5, "or a list; found: int"), ([None], "Member 0 is a NoneType")]:
        with pytest.raises(InputError, match=words):
            models.ModelLibrary(wrong)  # type: ignore[arg-type]


def test_members_are_models_with_numbers(asn: Path, tmp_path: Path) -> None:
    """A number that there is not, a slice and a replacement of another kind are refused."""
    library = models.ModelLibrary(asn)
    with pytest.raises(IndexError, match="4 members, 0 replaced> has no member 4"):
        library[4]
    with pytest.raises(TypeError):
        library[0:2]  # type: ignore[index]
    with pytest.raises(TypeError, match="by a model, not by a ndarray"):
        library[0] = np.zeros((2, 2))  # type: ignore[assignment]
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"The folder .*file cannot be made"):
        library.save(tmp_path / "file")


def test_slips_in_an_association_are_all_named(tmp_path: Path) -> None:
    """Names that are no text or too long; a mark of byte order is none."""
    path = tmp_path / "x_asn.json"
    twice = {"expname": "a.fits", "exptype": "science"}
    members = [twice, twice | {"exptype": "background"}, twice, {"expname": "b", "exptype": 5}, {}]
    path.write_text(json.dumps({"products": [{"name": ["x"], "members": members}, 5]}))
    with pytest.raises(InputError) as caught:
        models.load_association(path)
    assert [
        f"{path} is not a valid association:",
        "  products[0] has the \"name\" ['x']; allowed is text",
        '  products[0].members[3] has the "exptype" 5; allowed is text',
        '  products[0].members[4] has no "expname"',
        '  products[1] has no list "members"',
    ] == str(caught.value).splitlines()
    good = {"products": [{"name": "x", "members": [{"expname": "a" * 300}]}]}
    path.write_text(json.dumps(good), encoding="utf-8-sig")
    with pytest.raises(InputError, match="1 of 1 member not found"):
        models.load_association(path).require_members()


def test_a_member_listed_twice_counts_once(asn: Path, caplog: pytest.LogCaptureFixture) -> None:
    """As associations of the archive have it; with another group it is another exposure."""
    tree = json.loads(asn.read_text())
    members = tree["products"][0]["members"]
    tree["products"][0]["members"] = [*members, members[0], {**members[1], "group_id": "7"}]
    asn.write_text(json.dumps(tree))
    found = models.load_association(asn)
    assert 5 == len(found.members) == len(models.ModelLibrary(asn))
    assert f"{asn} lists a_cal.fits more than once; each counts once" == caplog.records[0].message


def test_members_that_nobody_uses_need_not_be_there(asn: Path) -> None:
    """Those of the types that are wanted have to be."""
    (asn.parent / "background.fits").unlink()
    with models.ModelLibrary(asn, exptypes=["science"]) as library:
        assert 3 == len(library)
        assert "combined" == library.association.products[0].name
    with pytest.raises(InputError, match=r"1 of 4 members not found:\n.*background.fits"):
        models.ModelLibrary(asn)
    (asn.parent / "data" / "a_cal.fits").unlink()
    with pytest.raises(InputError, match="1 of 3 members not found"):
        models.ModelLibrary(asn, exptypes=["science"])


def test_associations_that_are_no_files(asn: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a file says, with paths relative to the current folder, and what was read before."""
    monkeypatch.chdir(asn.parent)
    tree = json.loads(asn.read_text())
    found = models.load_association(tree)
    assert found is models.load_association(found)
    assert [m.path for m in found.members] == [
        m.path for m in models.load_association(asn.name).members
    ]
    with models.ModelLibrary(tree) as library:
        assert (4, "combined") == (len(library), library.association.products[0].name)
    for wrong in ({}, {"data": 5}):
        with pytest.raises(
            InputError, match=r'association is not a valid association:\n.*no list "products"'
        ):
            models.ModelLibrary(wrong)


@pytest.mark.parametrize("name", [None, ""])
def test_a_product_without_a_name(
    asn: Path, name: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    """It is named after its first exposure, which the log says."""
    tree = json.loads(asn.read_text())
    product = tree["products"][0]
    product |= {"name": name, "members": [product["members"][n] for n in (3, 1, 2)]}
    asn.write_text(json.dumps(tree))
    assert "b" == models.load_association(asn).products[0].name
    assert (
        f"{asn}: a product has no name; it is named b after its first" in caplog.records[0].message
    )


def test_what_a_library_gave_outlives_it(asn: Path, tmp_path: Path) -> None:
    """Arrays of a replaced member that were not read yet are still there when the library is gone."""
    library = models.ModelLibrary(asn)
    model = library[0]
    expected = np.array(model.data) + 1
    model.data = expected
    library[0] = model
    given = library[0].copy()
    alone = models.ImageModel(library[0])
    del library, model
    gc.collect()

    given.save(tmp_path / "x_cal.fits")
    np.testing.assert_array_equal(expected, models.open(tmp_path / "x_cal.fits").data)
    np.testing.assert_array_equal(expected, alone.data)
