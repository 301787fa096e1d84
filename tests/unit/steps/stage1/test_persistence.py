"""Windows of persistence: opened, closed, handed on to the next exposure."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stpipe import models
from stpipe.errors import InputError
from stpipe.models import dqflags
from stpipe.steps.stage1 import persistence

SAT, PERSISTENCE = dqflags.SATURATED, dqflags.PERSISTENCE


def run(groupdq: list[int], windows: float = 0, duration: int = 25) -> tuple[list[int], float]:
    """Flags of one pixel whose groups end every 10 s, from 10 s on; the window at the end."""
    flags = np.array(groupdq, np.uint8).reshape(1, -1, 1, 1)
    times = np.arange(10.0, 10 * flags.size + 1, 10).reshape(1, -1)
    rules = persistence.WindowRules(duration, None, PERSISTENCE)
    data = np.zeros(flags.shape, np.float32)
    out, ends = persistence.flag_windows(data, flags, np.full((1, 1), windows), times, rules)
    return out.ravel().tolist(), float(ends[0, 0])


def test_the_first_saturated_group_opens_a_window() -> None:
    """It lasts its time from there, however long the pixel stays saturated."""
    both = SAT | PERSISTENCE
    assert ([0, both, both, both, SAT, SAT], 0.0) == run([0, SAT, SAT, SAT, SAT, SAT])
    assert ([0, both, both], 45.0) == run([0, SAT, SAT])


def test_a_window_of_an_earlier_exposure_ends_when_its_time_has_come() -> None:
    """Groups at or before its end are flagged."""
    assert ([PERSISTENCE, PERSISTENCE, 0], 0.0) == run([0, 0, 0], windows=20)


def test_windows_of_a_later_exposure_are_closed() -> None:
    """A window that would end later than one opened now cannot be from before."""
    assert ([0, 0, 0], 0.0) == run([0, 0, 0], windows=1000)


@pytest.fixture
def exposure(demo_folder: Path) -> models.RampModel:
    """An exposure with a saturated pixel."""
    ramp = models.RampModel(next(demo_folder.glob("uncal/*00001_nrca1_uncal.fits")))
    groupdq = np.zeros(ramp.shape, np.uint8)
    groupdq[0, -2:, 7, 9] = SAT
    ramp.groupdq = groupdq
    return ramp


@pytest.mark.usefixtures("crds")
def test_windows_go_on_in_the_next_exposure(exposure: models.RampModel, tmp_path: Path) -> None:
    """The file keeps what is open at the end of each detector; the next exposure starts with it."""
    path = str(tmp_path / "open.asdf")
    step = persistence.PersistenceStep(persistence_time=10**6, save_persistence=path)
    first = step.run(exposure)
    flagged = first.groupdq & PERSISTENCE != 0
    assert [(7, 9)] == list(zip(*np.nonzero(flagged.any(axis=(0, 1))), strict=True))

    exposure.groupdq = np.zeros(exposure.shape, np.uint8)
    exposure.meta.exposure.start_time += 1
    exposure.int_times = None
    again = persistence.PersistenceStep(persistence_time=10**6, persistence_array_file=path)
    second = again.run(exposure)
    assert (second.groupdq[:, :, 7, 9] == PERSISTENCE).all()
    assert second.groupdq.shape[0] * second.groupdq.shape[1] == np.count_nonzero(second.groupdq)
    for other in ({"persistence_time": 10**5}, {"persistence_array_file": "none.asdf"}):
        given = {"persistence_time": 10**6, "persistence_array_file": path} | other
        assert not persistence.PersistenceStep(**given).run(exposure).groupdq.any()


@pytest.mark.usefixtures("crds")
def test_without_a_time_there_is_nothing_to_do(exposure: models.RampModel) -> None:
    """The step says which parameter is missing."""
    product = persistence.PersistenceStep().run(exposure)
    assert "SKIPPED" == product.meta.cal_step.persistence
    assert "persistence_time" in product.provenance[-1]["reason"]


def test_files_of_other_detectors_and_frames(tmp_path: Path) -> None:
    """A detector's entry replaces only its own; pixels outside the frame are refused."""
    path = tmp_path / "open.asdf"
    windows = np.zeros((8, 9))
    windows[7, 8] = 5.5
    for detector in ("NRCA1", "NRCA2"):
        persistence.write_windows(path, detector, {"pers_time": 3}, windows)
    for detector in ("NRCA1", "NRCA2"):
        np.testing.assert_array_equal(
            windows, persistence.read_windows(str(path), detector, 3, (8, 9))
        )
    with pytest.raises(InputError, match="outside the exposure"):
        persistence.read_windows(str(path), "NRCA1", 3, (4, 4))
    path.write_text("no ASDF")
    with pytest.raises(InputError, match="no readable ASDF"):
        persistence.read_windows(str(path), "NRCA1", 3, (8, 9))
