"""File names: `<root>_<suffix>.<extension>` and back."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stpipe import naming
from stpipe.errors import ParameterError
from stpipe.registry import STEPS

SUFFIXES = sorted({*STEPS, *naming.PRODUCT_SUFFIXES})
ROOTS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,30}", fullmatch=True)


@given(root=ROOTS, suffix=st.sampled_from(SUFFIXES), extension=st.sampled_from(naming.EXTENSIONS))
def test_split_takes_off_exactly_one_known_suffix(root: str, suffix: str, extension: str) -> None:
    """What was put together comes apart again, and only the last suffix goes."""
    name = naming.split(f"{root}_{suffix}{extension}")

    assert suffix == name.suffix or name.suffix.endswith(f"_{suffix}")
    assert f"{root}_{suffix}" == f"{name.root}_{name.suffix}"
    assert extension == name.extension


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("a-cat.fits", "a-cat_jump.fits"),
        ("NGC_jump_dark.fits", "NGC_jump_jump.fits"),
        ("t_uncal.fits.gz", "t_jump.fits"),
        ("t_dark_current.fits", "t_jump.fits"),
        ("my_galaxy.fits", "my_galaxy_jump.fits"),
        ("_cal.fits", "_cal_jump.fits"),
        ("x.asdf", "x_jump.fits"),
        ("t_uncal.fits.fz", "t_jump.fits"),
        ("t_uncal.fits.bz2", "t_jump.fits"),
        ("t_uncal.FITS.XZ", "t_jump.fits"),
    ],
)
def test_only_registered_suffixes_are_replaced(file: str, expected: str) -> None:
    """A user's own words in a file name survive."""
    assert Path(expected) == naming.output_path(file, "jump")


def test_output_file_is_taken_to_the_letter() -> None:
    """`--output_file=z.asdf` writes ASDF to exactly that name; companions share its root."""
    exact = {"output_dir": "out", "output_file": "my_cal.asdf"}

    assert Path("out/my_cal.asdf") == naming.output_path("x_uncal.fits", "rate", **exact)
    companion = naming.output_path("x_uncal.fits", "rateints", **exact, beside="rate")
    assert Path("out/my_rateints.asdf") == companion


def test_a_companion_of_a_product_with_a_suffix_of_its_own_has_the_same_root() -> None:
    """Also when nobody else knows that suffix: a project names the first product so."""
    companion = naming.output_path("x", "rateints", output_file="x_slope.fits", beside="slope")
    assert Path("x_rateints.fits") == companion


def test_output_goes_to_the_current_directory_by_default() -> None:
    """Not next to the input, which may be read-only."""
    assert Path("x_rate.fits") == naming.output_path("/data/x_uncal.fits", "rate")


def test_a_strange_extension_is_refused_with_the_allowed_ones() -> None:
    """The format follows from the extension, so it must be one that we write."""
    with pytest.raises(ParameterError, match=r"\.fits\.gz, \.fits, \.asdf"):
        naming.output_path("x_uncal.fits", "rate", output_file="x.txt")


@pytest.mark.parametrize(
    ("root", "label", "expected"),
    [
        ("jw01_rate", "s1", "jw01_rate_s1"),
        ("jw01_s1", "s1", "jw01_s1"),
        ("jw01_s000000001_nirspec-s200a1", "s000000001-s200a1", "jw01_s000000001_nirspec-s200a1"),
        ("jw01_{source_id}_nirspec", "s000000001", "jw01_s000000001_nirspec"),
        ("jw01_{source_id}_x-{slit_name}-all", "s1-s200a1", "jw01_s1_x-s200a1-all"),
        ("jw01_{source_id}_x", "s1-s200a1", "jw01_s1_x"),
        ("jw01_x-{slit_name}", "s1-s200a1", "jw01_x-s200a1_s1"),
        ("jw01_{source_id}_x-{slit_name}-all", "", "jw01_x-all"),
        ("jw01_x", "", "jw01_x"),
        ("field_1_nrs1", "1", "field_1_nrs1_1"),
        ("jw01_ch1_x", "ch1-short", "jw01_ch1_x_ch1-short"),
    ],
)
def test_names_of_parts(root: str, label: str, expected: str) -> None:
    """The label is at the end, or where the association says; once."""
    assert expected == naming.of_part(root, label)
