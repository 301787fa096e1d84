"""Graph: the steps that a project's exposures take, drawn as mermaid or SVG text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

from stpipe.errors import UsageError
from stpipe.project import config as project_config
from stpipe.project.plan import Plan, load

__all__ = ["Picture", "draw", "mermaid", "picture", "svg"]

SOURCE = "exposure"


@dataclass(frozen=True)
class Picture:
    """Rules and the arrows between them, each with the number of exposures that take it."""

    rules: Mapping[str, int]
    arrows: Mapping[tuple[str, str], int]


def draw(folder: str | Path, form: str) -> str:
    """The picture of the project in `folder` as "mermaid" or "svg" text."""
    config = project_config.read(folder)
    with project_config.inside(folder):
        drawn = picture(load(config))
    if not drawn.rules:
        raise UsageError(f"{folder}: no exposure takes any step; config.yaml lists the inputs.")
    return mermaid(drawn) if form == "mermaid" else svg(drawn)


def picture(plan: Plan) -> Picture:
    """Count over all exposures which rule follows which."""
    rules: Counter[str] = Counter()
    arrows: Counter[tuple[str, str]] = Counter()
    for jobs in plan.jobs.values():
        rules.update(jobs.keys())
    # A stage reads what another made of several exposures.
    makers = {path: rule for rule, e in plan.entries() for path in e["outputs"].values()}
    for rule, entry in plan.entries():
        given = entry["input"] if isinstance(entry["input"], list) else [entry["input"]]
        arrows.update({(makers.get(path, SOURCE), rule) for path in given})
    return Picture(rules, arrows)


def mermaid(drawn: Picture) -> str:
    """Text for any mermaid renderer, such as those of code-hosting sites."""
    total = max(drawn.rules.values())
    lines = ["flowchart TD", f"    {SOURCE}([{SOURCE}])"]
    lines += [f'    {name}["{_label(name, n, total)}"]' for name, n in drawn.rules.items()]
    lines += [f"    {start} --> {end}" for start, end in drawn.arrows]
    return "\n".join(lines) + "\n"


def _label(name: str, count: int, total: int) -> str:
    return name if count == total else f"{name} ({count} of {total})"


# --- SVG -------------------------------------------------------------------------------------------

_WIDTH, _HEIGHT, _GAP = 190, 34, 26
_SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
    'font-family="sans-serif" font-size="13">'
)
_ARROW_HEAD = (
    '<defs><marker id="tip" markerWidth="8" markerHeight="8" refX="7" refY="4" orient="auto">'
    '<path d="M0,0 L8,4 L0,8 z" fill="#555"/></marker></defs>'
)


def svg(drawn: Picture) -> str:
    """A self-contained picture: rules in rows by how many steps come before them."""
    places = _places(drawn)
    total = max(drawn.rules.values())
    width = max(x for x, _ in places.values()) + _WIDTH + _GAP
    height = max(y for _, y in places.values()) + _HEIGHT + _GAP
    lines = [
        _SVG.format(width=width, height=height),
        _ARROW_HEAD,
        *(_line(places[a], places[b]) for a, b in drawn.arrows),
        *(_box(p, _label(n, drawn.rules.get(n, total), total)) for n, p in places.items()),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _places(drawn: Picture) -> dict[str, tuple[int, int]]:
    """Upper left corner of each box."""
    ranks = {SOURCE: 0}
    # Arrows may skip rows: relax until each rule is below everything that it reads.
    for _ in drawn.rules:
        for start, end in drawn.arrows:
            ranks[end] = max(ranks.get(end, 0), ranks.get(start, 0) + 1)
    filled: Counter[int] = Counter()
    places = {}
    for name, rank in ranks.items():
        x = _GAP + filled[rank] * (_WIDTH + _GAP)
        filled[rank] += 1
        places[name] = (x, _GAP + rank * (_HEIGHT + _GAP))
    return places


def _line(start: tuple[int, int], end: tuple[int, int]) -> str:
    x1, y1 = start[0] + _WIDTH // 2, start[1] + _HEIGHT
    x2, y2 = end[0] + _WIDTH // 2, end[1]
    bend = (y2 - y1) // 2
    path = f"M{x1},{y1} C{x1},{y1 + bend} {x2},{y2 - bend} {x2},{y2 - 2}"
    return f'<path d="{path}" fill="none" stroke="#555" marker-end="url(#tip)"/>'


def _box(place: tuple[int, int], label: str) -> str:
    x, y = place
    return (
        f'<rect x="{x}" y="{y}" width="{_WIDTH}" height="{_HEIGHT}" rx="6" fill="#eef3fb" '
        f'stroke="#4a6fa5"/><text x="{x + _WIDTH // 2}" y="{y + 22}" text-anchor="middle">'
        f"{escape(label)}</text>"
    )
