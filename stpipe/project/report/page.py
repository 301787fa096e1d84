"""Page: the HTML of a report, one file that needs neither network nor script."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from html import escape
from string import Template
from typing import Any

from stpipe.project.report.costs import RuleCost
from stpipe.project.report.images import BACKGROUND, Flag
from stpipe.project.report.product import Recipe, Shown
from stpipe.system import package_data
from stpipe.system.software import VERSION
from stpipe.system.text import counted

__all__ = ["Page", "render"]

_DEFAULT = "default"


@dataclass
class Page:
    """Everything that the page shows."""

    pipeline: str
    exposures: int
    wanted: int
    rules: Sequence[RuleCost]
    products: list[Shown] = field(default_factory=list)
    missing: Mapping[str, str] = field(default_factory=dict)  # product: why
    damaged: list[str] = field(default_factory=list)
    elapsed: float | None = None  # s
    left_out: int = 0  # products that are there and not shown

    def recipes(self) -> dict[str, tuple[int, Recipe, list[Shown]]]:
        """Recipes by key: a number, and the products that were made by it."""
        found: dict[str, tuple[int, Recipe, list[Shown]]] = {}
        for product in self.products:
            if product.recipe.key not in found:
                found[product.recipe.key] = (len(found) + 1, product.recipe, [])
            found[product.recipe.key][2].append(product)
        return found


def render(page: Page) -> str:
    """The text of the page."""
    texts = package_data.folder("workflow") / "report"
    recipes = page.recipes()
    numbers = {key: number for key, (number, _, _) in recipes.items()}
    return Template((texts / "page.html").read_text(encoding="utf-8")).substitute(
        style=(texts / "page.css").read_text(encoding="utf-8"),
        pipeline=escape(page.pipeline),
        made=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        version=VERSION,
        summary="".join(_summary(page)),
        problems="".join(_problems(page)),
        steps=_steps(page.rules),
        products="".join(_product(p, numbers[p.recipe.key]) for p in page.products),
        recipes="".join(_recipe(*found) for found in recipes.values()),
    )


# --- the run ---------------------------------------------------------------------------------------


def _summary(page: Page) -> Iterator[str]:
    there = page.wanted - len(page.missing)
    total = sum(r.total or 0.0 for r in page.rules)
    peak = max((r.peak for r in page.rules if r.peak), default=None)
    for name, value in (
        ("exposures", str(page.exposures)),
        ("products", f"{there} of {page.wanted}"),
        ("jobs", str(sum(r.jobs for r in page.rules))),
        ("time of all jobs", _seconds(total)),
        ("elapsed time", _seconds(page.elapsed)),
        ("peak memory of a job", _megabytes(peak)),
    ):
        yield f"<div><dt>{name}</dt><dd>{value}</dd></div>"


def _problems(page: Page) -> Iterator[str]:
    if page.missing:
        rows = page.missing.items()
        heads = ("product", "error of the first failed job of its exposure")
        table = _table("Missing products", heads, rows)
        yield _problem(f"{counted(len(page.missing), 'product')} missing", table)
    if page.damaged:
        items = "".join(f"<li>{escape(sentence)}</li>" for sentence in page.damaged)
        yield _problem(f"{counted(len(page.damaged), 'product')} damaged", f"<ul>{items}</ul>")
    if page.left_out:
        words = "To see others, name them on the command line: stflow report cal/X_rate.fits"
        yield _problem(f"{counted(page.left_out, 'product')} not shown", f"<p>{words}</p>")


def _problem(heading: str, content: str) -> str:
    return f'<section class="problem"><h2>{heading}</h2>{content}</section>'


def _steps(rules: Sequence[RuleCost]) -> str:
    longest = max((r.total or 0.0 for r in rules), default=0.0) or 1.0
    heads = "".join(
        f'<th scope="col"{" class=number" if i else ""}>{name}</th>'
        for i, name in enumerate(("step", "jobs", "median", "all", "processor", "memory"))
    )
    rows = "".join(_step_row(rule, (rule.total or 0.0) / longest) for rule in rules)
    return (
        f"<table><caption>Run time and memory of each step</caption><thead><tr>{heads}"
        f'<th scope="col"><span class="unseen">share of time</span></th></tr></thead>'
        f"<tbody>{rows}</tbody></table>"
    )


def _step_row(rule: RuleCost, share: float) -> str:
    numbers = (
        str(rule.jobs),
        _seconds(rule.wall),
        _seconds(rule.total),
        _seconds(rule.cpu),
        _megabytes(rule.peak),
    )
    cells = "".join(f'<td class="number">{n}</td>' for n in numbers)
    bar = f'<span class="bar" style="width:{100 * share:.1f}%"></span>'
    return f'<tr><th scope="row">{escape(rule.rule)}</th>{cells}<td class="share">{bar}</td></tr>'


def _seconds(value: float | None) -> str:
    if value is None:
        return "?"
    if value >= 5400:  # noqa: PLR2004 - an hour and a half
        return f"{value / 3600:.1f} h"
    if value >= 90:  # noqa: PLR2004 - a minute and a half
        return f"{value / 60:.1f} min"
    return f"{value:.2f} s" if value < 10 else f"{value:.0f} s"  # noqa: PLR2004 - two digits that count


def _megabytes(value: float | None) -> str:
    return "?" if value is None else f"{value:.0f} MB"


# --- a product -------------------------------------------------------------------------------------


def _product(shown: Shown, recipe: int) -> str:
    name = escape(shown.path.name)
    shape = " × ".join(map(str, shown.shape))  # noqa: RUF001 - the sign for "times"
    heading = f'<h3 id="{escape(shown.path.stem)}">{name}</h3>'
    facts = "".join(f"<div><dt>{k}</dt><dd>{escape(v)}</dd></div>" for k, v in shown.facts.items())
    warnings = "".join(f'<p class="warning">{escape(w)}</p>' for w in shown.warnings)
    about = f"{shown.model}{f', {shape}' if shape else ''}"
    link = f'<a href="#recipe-{recipe}">parameters and references (recipe {recipe})</a>'
    pictures = "".join(_pictures(shown))
    return (
        f'<article>{heading}<p class="about">{about} · {link}</p><dl class="facts">{facts}</dl>'
        f'{warnings}<div class="pictures">{pictures}</div></article>'
    )


def _pictures(shown: Shown) -> Iterator[str]:
    name = shown.path.name
    plane = f", {shown.caption}" if shown.caption else ""
    if shown.image is not None:
        unit = f" [{escape(shown.unit)}]" if shown.unit else ""
        yield _figure(shown.image, f"Image of {name}{plane}", f"Image{plane}{unit}")
    if shown.flag_map is not None:
        alt = f"Map of data-quality flags of {name}{plane}"
        yield _figure(shown.flag_map, alt, f"Flags{plane}{_legend(shown.flags)}")
    yield shown.histogram
    yield from shown.curves
    if shown.more:
        yield f"<p>{shown.more} more of its spectra are not shown.</p>"
    if shown.image is None and not shown.curves:
        yield "<p>This product has no image: it holds tables.</p>"


def _figure(image: bytes, alt: str, caption: str) -> str:
    source = f"data:image/png;base64,{b64encode(image).decode()}"
    return (
        f'<figure><img decoding="async" src="{source}" alt="{escape(alt)}">'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def _legend(flags: Sequence[Flag]) -> str:
    """What the colours mean, the rarest flag last, as the map is painted."""
    if not flags:
        return ": no pixel is flagged"
    items = "".join(
        f'<li><span class="swatch" style="background:rgb{flag.colour}"></span>{flag.name} '
        f"<small>{flag.count} ({_percent(flag.share)})</small></li>"
        for flag in reversed(flags)
    )
    none = f'<li><span class="swatch" style="background:rgb{BACKGROUND}"></span>none</li>'
    rule = " <small>a pixel with several has the colour of the rarest</small>"
    return f'{rule}<ul class="legend">{items}{none}</ul>'


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 0.995 else f"{100 * share:.0f} %"  # noqa: PLR2004 - 99.5 rounds to 100


# --- a recipe --------------------------------------------------------------------------------------


def _recipe(number: int, recipe: Recipe, products: Sequence[Shown]) -> str:
    links = ", ".join(
        f'<a href="#{escape(p.path.stem)}">{escape(p.path.name)}</a>' for p in products
    )
    software = ", ".join(f"{escape(k)} {escape(v)}" for k, v in recipe.software.items())
    references = [
        (r["step"], kind, ref.get("name", ""), ref.get("context") or ref.get("origin", ""),
         ref.get("sha256", "")[:16])
        for r in recipe.records
        for kind, ref in r.get("references", {}).items()
    ]  # fmt: skip
    made = ("step", "status", "why", "non-default parameters")
    files = ("step", "reference", "file", "selected by", "SHA-256")
    return (
        f'<section class="recipe" id="recipe-{number}"><h3>Recipe {number}</h3>'
        f"<p>{links}</p><p><small>{software}</small></p>"
        f"{_table('Steps', made, map(_made, recipe.records))}"
        f"{_table('Reference files', files, references)}"
        "<details><summary>Every parameter</summary>"
        f"{_parameters(recipe.records)}</details></section>"
    )


def _made(record: Mapping[str, Any]) -> tuple[str, ...]:
    source = f" ({record['source']})" if record.get("source") else ""
    reason = f"{record.get('reason', '')}{source}"
    return (record["step"], record.get("status", ""), reason, "; ".join(_given(record)))


def _given(record: Mapping[str, Any]) -> Iterator[str]:
    sources = record.get("sources", {})
    for name, value in record.get("parameters", {}).items():
        if (source := sources.get(name, _DEFAULT)) != _DEFAULT:
            yield f"{name} = {value} ({source})"


def _parameters(records: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        (record["step"], name, str(value), record.get("sources", {}).get(name, _DEFAULT))
        for record in records
        for name, value in record.get("parameters", {}).items()
    ]
    return _table("Parameters", ("step", "parameter", "value", "from"), rows)


def _table(caption: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    body = "".join(
        f"<tr>{''.join(f'<td>{escape(str(cell))}</td>' for cell in row)}</tr>" for row in rows
    )
    if not body:
        return ""
    head = "".join(f'<th scope="col">{name}</th>' for name in heads)
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{caption}"><table>'
        f"<caption>{caption}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody>"
        "</table></div>"
    )
