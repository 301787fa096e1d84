"""`stflow report`: one page about a run, read in a real browser."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest

pytestmark = pytest.mark.usefixtures("crds")

Run = Callable[..., "subprocess.CompletedProcess[str]"]
BROWSERS = ("chromium", "chromium-browser", "google-chrome")

# What a browser makes of the page, written into the title of the page around it.
LOOK = """<!DOCTYPE html><title>waiting</title>
<iframe src="report.html" style="width:{width}px;height:900px"></iframe>
<script>
addEventListener("load", () => {{
  const page = document.querySelector("iframe").contentDocument;
  const images = [...page.images];
  const links = [...page.querySelectorAll("a[href]")].map(a => a.getAttribute("href"));
  document.title = JSON.stringify({{
    images: images.length,
    drawn: images.filter(i => i.naturalWidth > 0 && i.clientWidth > 50).length,
    described: images.filter(i => i.alt.length > 10).length,
    histograms: page.querySelectorAll("svg[role=img] > title").length,
    too_wide: page.documentElement.scrollWidth - page.documentElement.clientWidth,
    broken: links.filter(h => !h.startsWith("#") || !page.getElementById(h.slice(1))),
    headings: [...page.querySelectorAll("h1, h2, h3")].map(h => +h.tagName[1]),
  }});
}});
</script>"""


@pytest.fixture(scope="module")
def made(
    run: Run, exposures: list[Path], demo_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A finished project of two exposures with its report; tests work on copies."""
    folder = tmp_path_factory.mktemp("reported") / "project"
    chosen = [e for e in exposures if "nis" in e.name or "mirimage" in e.name]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CRDS_PATH", str(demo_folder / "crds"))
        words = ["--pipeline=calwebb_detector1", "--steps.jump.rejection_threshold=5"]
        run("stflow", "init", folder, *words, *chosen, cwd=folder.parent)
        run("snakemake", "--cores", "2", "cal", cwd=folder)
        run("stflow", "report", cwd=folder)
    return folder


def page(folder: Path) -> str:
    return (folder / "report.html").read_text()


def test_the_page_tells_of_every_product_and_step(made: Path) -> None:
    text = page(made)

    products = [p.name for p in made.glob("cal/*_rate*.fits")]
    assert 4 == len(products)
    for name in products:
        assert f">{name}</h3>" in text
    for rule in ("jump", "ramp_fit", "reset", "refpix"):
        row = re.search(rf'<th scope="row">{rule}</th>(.*?)</tr>', text)
        assert row, rule
        assert "?" not in row[1], f"{rule}: a cost is not known"
        assert float(re.findall(r">(\d+) MB<", row[1])[0]) > 20
    assert re.search(r"rejection_threshold = 5.0 \(config/calwebb_detector1.cfg:\d+\)", text)
    assert "jwst_niriss_dark_0001.fits" in text


def test_the_page_stands_alone(made: Path) -> None:
    """No script, and nothing that would be fetched from anywhere."""
    found: list[tuple[str, str]] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            found.extend((tag, f"{name}={value}") for name, value in attrs)
            assert tag not in {"script", "link", "iframe"}

    Reader().feed(page(made))
    addresses = [words for _, words in found if words.startswith(("src=", "href="))]
    assert addresses
    assert all(a.startswith(("src=data:image/png;base64,", "href=#")) for a in addresses)
    assert "url(" not in page(made)


@pytest.mark.parametrize("width", [390, 1280])
def test_a_browser_shows_it(made: Path, tmp_path: Path, width: int) -> None:
    """On a phone and on a desk: pictures are drawn and described, nothing sticks out."""
    browser = next((b for b in BROWSERS if shutil.which(b)), None)
    if browser is None:
        pytest.skip("no Chromium here: apt-get install chromium")
    shutil.copy(made / "report.html", tmp_path)
    (tmp_path / "look.html").write_text(LOOK.format(width=width))
    command = [
        browser,
        "--headless",
        "--disable-gpu",
        "--allow-file-access-from-files",
        "--virtual-time-budget=20000",
        f"--user-data-dir={tmp_path}/browser",
        "--dump-dom",
        f"file://{tmp_path}/look.html",
    ]
    if os.geteuid() == 0:
        command.insert(1, "--no-sandbox")
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)

    title = re.search(r"<title>(.*?)</title>", done.stdout)
    assert title, done.stderr
    assert title[1] != "waiting", done.stderr
    seen = json.loads(unescape(title[1]))
    assert 8 == seen["images"] == seen["drawn"] == seen["described"]
    assert 4 == seen["histograms"]
    assert 0 == seen["too_wide"]
    assert [] == seen["broken"]
    steps = zip(seen["headings"], seen["headings"][1:], strict=False)
    assert all(after <= before + 1 for before, after in steps)


def test_what_is_missing_and_damaged_is_said(run: Run, project: Path) -> None:
    """A failed job with the words of its log; a truncated product by name."""
    lost, cut = sorted(project.glob("cal/*_rate.fits"))
    log = project / f"logs/{lost.name.replace('_rate.fits', '_ramp_fit.log')}"
    log.write_text("strun: error: <the disk> is full\n")
    lost.unlink()
    lost.with_name(lost.name.replace("_rate", "_rateints")).unlink()
    cut.write_bytes(cut.read_bytes()[:20_000])

    said = run("stflow", "report", cwd=project).stdout

    assert f"damaged: {cut.relative_to(project)}" in said
    text = page(project)
    assert "2 products missing" in text
    assert "ramp_fit: strun: error: &lt;the disk&gt; is full" in text
    assert "1 product damaged" in text


def test_every_step_can_be_shown(run: Run, project: Path) -> None:
    """Ramps with flags of their last group; or some products by name."""
    run("stflow", "report", "--all", "--output=all.html", cwd=project)
    text = (project / "all.html").read_text()
    made = [p.name for p in project.glob("cal/*.fits")]
    assert len(made) == text.count("<article>")
    assert "last group of the last integration" in text

    jump = next(p.name for p in project.glob("cal/*_nis_jump.fits"))
    run("stflow", "report", f"cal/{jump}", cwd=project)
    assert [jump] == re.findall(r"<h3 id=[^>]*>([^<]*\.fits)<", page(project))


def test_wrong_uses(run: Run, project: Path) -> None:
    said = run("stflow", "report", "cal/nothing.fits", cwd=project, code=2).stderr
    assert "not products of this project: cal/nothing.fits" in said

    shutil.rmtree(project / "cal")
    assert "there are no products yet" in run("stflow", "report", cwd=project, code=2).stderr
