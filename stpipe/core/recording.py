"""What a run records in histories: steps that ran or were skipped, and hooks."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from stpipe import hooks
from stpipe.core import provenance
from stpipe.core.products import Output, Parts, Products
from stpipe.errors import NoProduct, ParameterError, StpipeError
from stpipe.models import DataModel, ModelLibrary
from stpipe.models.history import append, now, part_in

if TYPE_CHECKING:
    from stpipe.core.configured import ConfiguredStep
    from stpipe.references.selection import Reference

__all__ = [
    "hooked",
    "mark_skipped",
    "nothing",
    "record_all",
    "record_side",
    "refuse_commands",
    "skipped",
]

_LABEL = re.compile(r"[A-Za-z0-9]+([.+-]?[A-Za-z0-9]+)*")


# --- hooks -----------------------------------------------------------------------------------------


def hooked(step: ConfiguredStep, when: str, given: Any) -> Any:
    """Run the hooks `when` ("pre_hooks" or "post_hooks"); record those that may change the data."""
    for hook in getattr(step, when):
        started = now()
        history = [] if isinstance(given, ModelLibrary) else list(given.provenance or [])
        given = hooks.run(hook, given, step.log, step.hook_timeout)
        if not hooks.replaces(hook):
            continue
        record = provenance.hooked(step, when, hooks.text(hook), started)
        if isinstance(given, ModelLibrary):
            given.amend(partial(append, record=record))
        else:
            given.provenance = [*history, record]
    return given


def refuse_commands(step: ConfiguredStep) -> None:
    """Refuse commands as hooks of a step that works on many exposures, before it starts.

    Raises
    ------
    ParameterError
        Naming the first of them.
    """
    commands = [h for h in (*step.pre_hooks, *step.post_hooks) if hooks.is_shell(h)]
    if step.given_many and commands:
        raise ParameterError(
            f"{step.qualified_name}: the hook {hooks.text(commands[0])} is a command, which takes one "
            "file, but this step works on many. Give it to a step before or after."
        )


# --- steps that ran --------------------------------------------------------------------------------


def record_all(
    step: ConfiguredStep,
    result: Any,
    meta: Mapping[str, Any],
    history: Sequence[Any],
    started: str,
) -> Any:
    """Record how the products of `process` were made, and run post-hooks on the first one.

    Metadata by dotted name and history are those of the input.
    """
    if result is None:
        raise NoProduct("process returned nothing")
    several = isinstance(result, (tuple, list)) and not isinstance(result, Parts)
    made = result if several else (result,)
    declared = step.products(type(made[0]).__name__, meta)
    record = provenance.done(step, step.selected, started)
    finished = []
    for output, product in zip(declared, made, strict=True):
        suffix = {} if step.refining else {"suffix": output.suffix}
        recorded = _recorded(step, product, history, record | suffix)
        first = output is declared[0] and not output.many
        finished.append(hooked(step, "post_hooks", recorded) if first else recorded)
    return Products([o.name for o in declared], finished) if declared[1:] else finished[0]


def record_side(
    step: ConfiguredStep, output: Output, product: Any, history: Sequence[Any], started: str
) -> Any:
    """Record how a side product was made."""
    record = provenance.done(step, step.selected, started) | {"suffix": output.suffix}
    return _recorded(step, product, history, record)


def _recorded(
    step: ConfiguredStep, product: Any, history: Sequence[Any], record: Mapping[str, Any]
) -> Any:
    """The product with its record: a model, a library, or models by label, which become parts."""
    if isinstance(product, ModelLibrary):
        product.amend(lambda member: _stamp(step, member, member.provenance or [], record))
        return product
    if step.given_many and part_in(history):
        record = {**record, "part": ""}  # what is made of all is not a part
    if not isinstance(product, Mapping):
        _stamp(step, product, history, record)
        return product
    alone = set(product) == {""}  # one that needs no label
    if odd := [label for label in product if not _LABEL.fullmatch(str(label)) and not alone]:
        raise StpipeError(
            f"{step.qualified_name}: found {odd[0]!r} as the label of a part, allowed: letters, "
            "digits, and . + - between them, since it becomes part of a file name."
        )
    for label, part in product.items():
        _stamp(step, part, history, {**record, "part": str(label)})
    return Parts.of(product)


def _stamp(
    step: ConfiguredStep, product: DataModel, history: Sequence[Any], record: Mapping[str, Any]
) -> None:
    product.provenance = [*history, dict(record)]
    if step.status:
        product.set(f"meta.cal_step.{step.status}", "COMPLETE")
    for reference in step.selected.values():
        _stamp_reference(product, reference)
    versions = record["software"]
    product.set("meta.calibration_software_version", f"stpipe-flow {versions['stpipe-flow']}")
    product.set("meta.calibration_software_revision", "RELEASE")
    if "crds" in versions:
        product.set("meta.ref_file.crds.sw_version", versions["crds"])


def _stamp_reference(product: DataModel, reference: Reference) -> None:
    name = f"meta.ref_file.{reference.type}.name"
    if name in product.schema.metadata:
        product.set(name, reference.recorded_name)
    if reference.context:
        product.set("meta.ref_file.crds.context_used", reference.context)


# --- steps that did nothing ------------------------------------------------------------------------


def nothing(step: ConfiguredStep, reason: str) -> Any:
    """None for each product of a step that rightly makes none, and the reason for the record."""
    step.log.warning("Step %s makes no product: %s", step.qualified_name, reason)
    step.why_nothing = reason
    names = [output.name for output in step.main_outputs()]
    return Products(names, [None] * len(names)) if names[1:] else None


def skipped(step: ConfiguredStep, given: DataModel | ModelLibrary, reason: str) -> Any:
    """The same data, with a record that this step was skipped, and why."""
    step.log.info("Step %s skipped: %s", step.qualified_name, reason)
    step.why_skipped = reason
    mark = partial(mark_skipped, step, reason=reason, source=step.skip_source(reason))
    if isinstance(given, ModelLibrary):
        given.amend(mark)
        return given
    product = given.copy()
    mark(product)
    return product


def mark_skipped(step: ConfiguredStep, product: DataModel, reason: str, source: str = "") -> None:
    """Record in `product` that this step was skipped, why, and the source of `skip`."""
    append(product, provenance.skipped(step, reason, source))
    if step.status and product.get(f"meta.cal_step.{step.status}") != "COMPLETE":
        product.set(f"meta.cal_step.{step.status}", "SKIPPED")
