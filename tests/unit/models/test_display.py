"""Models in a notebook."""

from __future__ import annotations

import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from stpipe import models
from stpipe.errors import InputError, StpipeError


@pytest.fixture
def ramp() -> models.RampModel:
    model = models.RampModel(np.arange(2 * 3 * 4 * 5.0).reshape(2, 3, 4, 5))
    model.meta.target.catalog_name = "<M 31 & more>"
    model.provenance = [{"step": "jump", "status": "COMPLETE", "parameters": {}}]
    return model


class Balance(HTMLParser):
    """Tags that are open, and the text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: object) -> None:  # noqa: ARG002
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert tag == self.open.pop()

    def handle_data(self, data: str) -> None:
        self.text += data + "\n"


def test_a_notebook_shows_a_table(ramp: models.RampModel, tmp_path: Path) -> None:
    """Valid HTML with arrays, metadata and steps; of headers alone, too."""
    opened = models.open_metadata(ramp.save(tmp_path / "x.fits"))
    for holder in (ramp, opened):
        found = Balance(holder._repr_html_())
        assert [] == found.open
        for part in ["RampModel", "2 x 3 x 4 x 5", "SCI", "<M 31 & more>", "jump", "COMPLETE"]:
            assert part in found.text


def test_info_prints(ramp: models.RampModel, capsys: pytest.CaptureFixture[str]) -> None:
    """The same text as `stflow show`."""
    ramp.info()
    assert "  data  float32   2 x 3 x 4 x 5       SCI" in capsys.readouterr().out


def test_a_quick_look(ramp: models.RampModel, tmp_path: Path) -> None:
    """The last image, or the one asked for, with the rows upwards and the unit at the side."""
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    axes = ramp.plot()
    np.testing.assert_array_equal(ramp.data[-1, -1], axes.images[0].get_array())
    assert "lower" == axes.images[0].origin
    assert axes is ramp.plot(index=(0, 1), axes=axes)
    np.testing.assert_array_equal(ramp.data[0, 1], axes.images[1].get_array())
    image = models.ImageModel(np.full((3, 3), np.nan))
    image.meta.bunit_data = "DN/s"
    drawn = models.open(image.save(tmp_path / "x.fits")).plot()
    assert ("x.fits: data", "DN/s") == (drawn.get_title(), drawn.figure.axes[1].get_ylabel())
    matplotlib.pyplot.close("all")


@pytest.mark.parametrize(
    ("name", "index", "message"),
    [
        ("dta", None, "has no array dta; it has: data"),
        ("int_times", None, "is not an image: its shape is"),
        ("data", (0,), r"the index \(0,\) is not that of an image"),
        ("data", (0, 3), r"the index \(0, 3\) is not that of an image"),
    ],
)
def test_what_is_no_image(
    ramp: models.RampModel, name: str, index: tuple[int, ...] | None, message: str
) -> None:
    """The message says what there is."""
    ramp.int_times = np.zeros(2, ramp.schema.fields["int_times"].dtype)
    with pytest.raises(InputError, match=message):
        ramp.plot(name, index)


def test_without_matplotlib(ramp: models.RampModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says what to install."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(StpipeError, match=r"pip install 'stpipe-flow\[plot\]'"):
        ramp.plot()


def test_text_of_a_file_is_no_formula(ramp: models.RampModel, tmp_path: Path) -> None:
    """Names and units between dollars are drawn as they are."""
    pytest.importorskip("matplotlib").use("Agg")
    ramp.meta.bunit_data = "$x_{$"
    axes = models.open(ramp.save(tmp_path / "a$x_{$_ramp.fits")).plot()
    axes.figure.canvas.draw()
    assert "a$x_{$_ramp.fits: data" == axes.get_title()
    assert "$x_{$" == axes.figure.axes[1].get_ylabel()


def test_an_index_is_one_number_or_several(ramp: models.RampModel) -> None:
    """Of a cube a number says which image; what is no number is refused."""
    pytest.importorskip("matplotlib").use("Agg")
    cube = models.CubeModel(ramp.data[0])
    assert ramp.data[0, 1].tolist() == cube.plot(index=1).images[0].get_array().tolist()
    for wrong in ("a", (1.0,), slice(1)):
        with pytest.raises(InputError, match="give numbers"):
            cube.plot(index=wrong)
