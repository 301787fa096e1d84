"""Logs: where records go, and who is left alone."""

from __future__ import annotations

import contextlib
import logging
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stpipe import Step, models
from stpipe.cli.strun.main import main
from stpipe.errors import ParameterError
from stpipe.system import logs

Output = pytest.CaptureFixture[str]
# The steps of these tests warn on purpose.
pytestmark = pytest.mark.filterwarnings("default")
STEPS = """
import logging, warnings
from stpipe import Step
class Chatty(Step):
    suffix = "chatty"
    def process(self, model):
        self.log.debug("a detail")
        self.log.warning("odd file %s", "/home/someone/odd.fits")
        warnings.warn("old habit", DeprecationWarning, stacklevel=1)
        logging.getLogger("otherpackage").warning("from elsewhere")
        return model
"""


class Chatty(Step):
    """Says something."""

    suffix = "chatty"

    def process(self, model: Any) -> Any:
        self.log.debug("a detail")
        self.log.warning("odd file %s", Path("/home/someone/odd.fits"))
        return model


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "chatty.py").write_text(STEPS)
    models.ImageModel(np.zeros((4, 4), dtype=np.float32)).save(tmp_path / "x_cal.fits")
    return "x_cal.fits"


@contextlib.contextmanager
def bare() -> Iterator[None]:
    """No handlers at the root, as in a fresh interpreter; pytest puts its own there."""
    root = logging.getLogger()
    kept, level = list(root.handlers), root.level
    root.handlers.clear()
    try:
        yield
    finally:
        root.handlers[:] = kept
        root.setLevel(level)


def state() -> tuple[Any, ...]:
    """Everything global that a library should leave alone."""
    loggers = map(logging.getLogger, (None, "stpipe", "py.warnings"))
    handlers = [(list(log.handlers), log.level, log.propagate) for log in loggers]
    return (*handlers, warnings.showwarning)


def test_the_command_logs_everything_of_its_process(source: str, capsys: Output) -> None:
    """Its own records, other packages' and warnings, with time, level and step."""
    assert 0 == main(["chatty.py:Chatty", source])

    error = capsys.readouterr().err
    line = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z WARNING  stpipe\.Chatty: odd file /home"
    assert re.search(line, error, re.MULTILINE)
    assert "otherpackage: from elsewhere" in error
    assert "old habit" in error
    assert "a detail" not in error


def test_level_file_stream_and_format_are_options(source: str, capsys: Output) -> None:
    words = ["--log-level=debug", "--log-file=run.log", "--log-stream=stdout"]

    assert 0 == main(["chatty.py:Chatty", source, *words, "--log-format=%(levelname)s|%(message)s"])

    output = capsys.readouterr()
    assert "DEBUG|a detail" in output.out
    assert "" == output.err
    assert "DEBUG|a detail" in Path("run.log").read_text()


def test_a_section_of_a_file_says_the_same(source: str, capsys: Output) -> None:
    """And the command line is heard above it."""
    Path("chatty.cfg").write_text(
        "class = chatty.py:Chatty\n[logging]\nlevel = ERROR\nfile = cfg.log\n"
        "format = '%(levelname)s, %(message)s'\n"
    )
    assert 0 == main(["chatty.cfg", source])
    assert "" == Path("cfg.log").read_text() == capsys.readouterr().err

    assert 0 == main(["chatty.cfg", source, "--verbose", "--log-stream=null"])
    assert "DEBUG, a detail" in Path("cfg.log").read_text()
    assert "" == capsys.readouterr().err


@pytest.mark.parametrize("level", ["error", "warning", "debug"])
def test_products_record_warnings_that_are_not_shown(source: str, level: str) -> None:
    """What a product says does not depend on what its user wanted to see."""
    assert 0 == main(["chatty.py:Chatty", source, f"--log-level={level}", "--log-stream=null"])
    with models.open("x_chatty.fits") as product:
        assert ["odd file odd.fits", "old habit"] == [
            re.sub(r"(?s).*(old habit).*", r"\1", text)
            for text in product.provenance[-1]["warnings"]
        ]


def test_the_process_is_as_before_afterwards(source: str) -> None:
    """A notebook that calls the command keeps its own logs, also after a failure."""
    before = state()
    assert 0 == main(["chatty.py:Chatty", source, "--log-stream=null"])
    assert before == state()
    assert 3 == main(["chatty.py:Chatty", "no.fits"])
    assert before == state()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"level": "LOUD"}, "log level: found 'LOUD', allowed: DEBUG, INFO"),
        ({"level": "WARNNG"}, 'did you mean "WARNING"'),
        ({"stream": "sterr"}, 'did you mean "stderr"'),
        ({"fiel": "x"}, 'unknown setting "fiel" (did you mean "file"?)'),
        ({"format": "%(nosuch)s"}, "log format: found '%(nosuch)s'"),
        ({"format": "%(message"}, "log format"),
        ({"file": "nowhere/run.log"}, "log file nowhere/run.log: No such file or directory"),
        ({"file": "."}, "Is a directory"),
    ],
)
def test_wrong_settings_are_named(settings: dict[str, str], message: str) -> None:
    before = state()
    with pytest.raises(ParameterError, match=re.escape(message)), logs.of_process(settings):
        pytest.fail("nothing should run")
    assert before == state()


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(ParameterError) as caught, logs.of_process({"level": "X", "stream": "Y"}):
        pytest.fail("nothing should run")
    assert 2 == len(caught.value.problems)


def test_a_call_shows_its_records_and_leaves_no_trace(source: str, capsys: Output) -> None:
    """Handlers of our own logger, never of the root, and only while it runs."""
    with bare():
        before = state()
        Chatty.call(source)
        assert before == state()

    error = capsys.readouterr().err
    assert "stpipe.Chatty: odd file /home/someone/odd.fits" in error
    assert 1 == error.count("odd file")


def test_a_call_heeds_the_file(source: str, capsys: Output) -> None:
    Path("chatty.cfg").write_text("[logging]\nlevel = DEBUG\nfile = call.log\nstream = null\n")

    with bare():
        Chatty.call(source, "chatty.cfg")

    assert "a detail" in Path("call.log").read_text()
    assert "" == capsys.readouterr().err


def test_a_program_that_logs_is_left_alone(source: str, capsys: Output) -> None:
    """Its handlers get the records; nothing is shown twice."""
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger().addHandler(handler)
    try:
        Chatty.call(source)
    finally:
        logging.getLogger().removeHandler(handler)

    assert 1 == sum("odd file" in line for line in lines)
    assert "" == capsys.readouterr().err


def test_an_instance_warns_as_python_does(source: str, capsys: Output) -> None:
    """Without any set-up only warnings show, bare, once."""
    with bare():
        Chatty().run(source)

    assert "odd file /home/someone/odd.fits\n" == capsys.readouterr().err


def test_warnings_stay_in_the_product_without_folders(source: str) -> None:
    """What a reader of the product should know; names of files, not of machines or people."""
    assert 0 == main(["chatty.py:Chatty", source, "--log-stream=null"])

    with models.open("x_chatty.fits") as model:
        record = model.provenance[-1]

    assert "odd file odd.fits" in record["warnings"]
    assert any("old habit" in text for text in record["warnings"])
    assert "/home/someone" not in repr(record["warnings"][0])


def test_a_step_that_warns_of_nothing_keeps_no_list() -> None:
    class Quiet(Step):
        suffix = "quiet"

        def process(self, model: Any) -> Any:
            return model

    made = Quiet().run(models.ImageModel(np.zeros((4, 4), dtype=np.float32)))

    assert "warnings" not in made.provenance[-1]


def test_repeated_warnings_are_kept_once() -> None:
    log = logging.getLogger("stpipe.loop")
    with logs.noticed() as found:
        for number in range(3 * logs.KEPT):
            log.warning("again")
            log.warning("number %d", number)

    assert logs.KEPT == len(found)
    assert 1 == found.count("again")
