"""Run a step: the one sequence that single exposures, libraries and pipelines go through.

Open the input, resolve parameters, select reference files, skip, run pre-hooks, process, record, run
post-hooks, save.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stpipe.core import recording, saving
from stpipe.core.configured import SKIP_PARAMETER
from stpipe.core.inputs import history_of, is_there, opened
from stpipe.core.products import Parts, Products, first_product, header_of, listed
from stpipe.engine.chain import compute
from stpipe.errors import NoProduct, ReferenceMissing, Skip
from stpipe.models import DataModel, ModelLibrary
from stpipe.models.history import now
from stpipe.references.checksums import hash_ahead
from stpipe.references.opened import References
from stpipe.system import logs

if TYPE_CHECKING:
    from stpipe.core.configured import ConfiguredStep

__all__ = ["run"]


def run(step: ConfiguredStep, inputs: Sequence[Any]) -> Any:
    """Run `step` in memory; return its product, or `Products`."""
    first = first_product(inputs[0])
    if not is_there(first):
        return recording.nothing(step, "there is no input")
    given = opened(step, first)
    step.given_many = isinstance(given, ModelLibrary)
    try:
        step.resolve_for(header_of(given))
        result = _run(step, given, inputs[1:])
        if not step.context.chained:
            _finish_pixels(result)
        return result
    finally:
        if isinstance(first, (str, Path)) and isinstance(given, DataModel):
            given.close()


def _run(step: ConfiguredStep, given: DataModel | ModelLibrary, more: Sequence[Any]) -> Any:
    if step.skip and step.parent is not None:
        return recording.skipped(step, given, SKIP_PARAMETER)
    clock = time.perf_counter()
    step.log.info("Step %s starting", step.qualified_name)
    try:
        result = (_compose if step.composes else _process)(step, given, more)
    except Skip as reason:
        return recording.skipped(step, given, str(reason))
    except NoProduct as reason:
        return recording.nothing(step, str(reason))
    step.log_end(time.perf_counter() - clock)
    if step.save_results:
        saving.save(step, result)
    return result


def _process(step: ConfiguredStep, given: DataModel | ModelLibrary, more: Sequence[Any]) -> Any:
    """Run a step that computes, and record how its products were made."""
    started, meta = now(), header_of(given)
    step.why_skipped, step.has_run = "", False
    step.selected = step.select_references(meta)
    if reason := step.not_applicable(step.selected) or step.not_needed(meta, step.selected):
        raise Skip(reason)
    recording.refuse_commands(step)
    step.references = _references(step, given)
    step.side_products = {}
    try:
        with logs.noticed() as step.warnings:
            given = recording.hooked(step, "pre_hooks", _own(given))
            history = history_of(given)
            result = step.process(given, *more)
        step.has_run = True
        _save_side_products(step, meta, history, started)
        return recording.record_all(step, result, meta, history, started)
    finally:
        step.references.close()


def _compose(pipeline: ConfiguredStep, given: DataModel | ModelLibrary, more: Sequence[Any]) -> Any:
    """Run a pipeline: its steps select their references and record themselves."""
    if pipeline.parent is None and pipeline.context.runner is None:
        _hash_ahead(pipeline, header_of(given))
    recording.refuse_commands(pipeline)
    given = recording.hooked(pipeline, "pre_hooks", _own(given))
    result = pipeline.process(given, *more)
    if result is None:
        raise NoProduct("process returned nothing")
    _warn_if_nothing_was_done(pipeline)
    if not pipeline.post_hooks:
        return result
    first, *rest = result if isinstance(result, tuple) else (result,)
    first = recording.hooked(pipeline, "post_hooks", first)
    return Products(result.names, (first, *rest)) if isinstance(result, Products) else first


def _warn_if_nothing_was_done(pipeline: Any) -> None:
    """Say that the products are the input as it was: none of the steps applied."""
    steps = pipeline.steps
    reasons = {name: step.why_skipped for name, step in steps.items() if step.why_skipped}
    pipeline.has_run = any(step.has_run for step in steps.values())
    if reasons and not pipeline.has_run:
        pipeline.log.warning(
            "%s did nothing: every step was skipped (%s)",
            pipeline.qualified_name,
            "; ".join(f"{name}: {reason}" for name, reason in reasons.items()),
        )


def _own(given: DataModel | ModelLibrary) -> DataModel | ModelLibrary:
    """What hooks and `process` may change: a library was copied when it was opened."""
    return given if isinstance(given, ModelLibrary) else given.copy()


def _references(step: ConfiguredStep, given: DataModel | ModelLibrary) -> References:
    if not isinstance(given, ModelLibrary):
        return References(step.selected, given)
    with given[0] as first:
        return References(step.selected, first)


def _save_side_products(
    step: ConfiguredStep, meta: Mapping[str, Any], history: Sequence[Any], started: str
) -> None:
    for output in step.side_outputs(meta):
        if (product := step.side_products.get(output.name)) is not None:
            recorded = recording.record_side(step, output, product, history, started)
            saving.save_side(step, output, recorded)


def _hash_ahead(pipeline: Any, meta: Mapping[str, Any]) -> None:
    """Start computing the checksums of reference files, which the steps will record."""
    selected = []
    for step in pipeline.steps.values():
        if not step.skip:
            with contextlib.suppress(ReferenceMissing):  # the step will say so
                selected += step.select_references(meta).values()
    hash_ahead(reference.path for reference in selected if reference.path)


def _finish_pixels(result: Any) -> None:
    """Compute deferred pixels: callers get products that are complete."""
    for product in listed(result):
        for model in product if isinstance(product, Parts) else (product,):
            if isinstance(model, DataModel):
                compute(model)
