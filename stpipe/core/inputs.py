"""Inputs of a step: opened as models that it reads, and checked from their headers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from stpipe.core import headers, no_product
from stpipe.core.products import Parts, Placeholder
from stpipe.errors import InputError, TraceError
from stpipe.models import Association, DataModel, ModelLibrary, open_metadata
from stpipe.models import open as open_model
from stpipe.system.text import with_article

if TYPE_CHECKING:
    from stpipe.core.configured import ConfiguredStep
    from stpipe.models.metadata import HasMetadata

__all__ = [
    "check_header",
    "history_of",
    "is_association",
    "is_there",
    "opened",
    "opened_library",
    "opened_model",
    "unreadable",
]


SOURCE = "MultiExposureModel"  # several exposures of one source in one file


def is_there(given: Any) -> bool:
    """Whether there is anything to work on."""
    if isinstance(given, (list, tuple)):
        return any(one is not None for one in given)
    return given is not None


def is_association(source: Any) -> bool:
    """Whether an input is an association: its file, what the file says, or what was read from it."""
    if isinstance(source, (str, Path)):
        return Path(source).suffix == ".json"
    return isinstance(source, (Association, Mapping))


def opened(step: ConfiguredStep, source: Any) -> DataModel | ModelLibrary:
    """The input as a model, or a library, that `step` reads.

    Raises
    ------
    InputError
        When it is missing, damaged, or not of a model that the step reads.
    """
    given_many = isinstance(source, (list, tuple, ModelLibrary))
    many = not _is_whole(step, source) if step.takes_many else step.combines and given_many
    return opened_library(step, source) if many else opened_model(step, source)


def _is_whole(step: ConfiguredStep, source: Any) -> bool:
    """Whether an input has several exposures in it, of one source, for a step that takes many."""
    if SOURCE not in step.input_models or is_association(source):
        return False
    if isinstance(source, (str, Path)):
        return open_metadata(source).model_type == SOURCE
    return type(source).__name__ == SOURCE


def history_of(given: DataModel | ModelLibrary) -> list[Mapping[str, Any]]:
    """The history of the input; for a library, of its first member."""
    if not isinstance(given, ModelLibrary):
        return list(given.provenance or [])
    with given[0] as first:
        return list(first.provenance or [])


# --- one exposure ----------------------------------------------------------------------------------


def opened_model(step: ConfiguredStep, source: Any) -> DataModel:
    """The input as a model that `step` reads, checked from its header; see `opened`."""
    if isinstance(source, Placeholder):
        raise TraceError(
            f"{step.qualified_name} is run while a pipeline is traced, but is not a step of it: list "
            "it in step_defs and call it as an attribute."
        )
    if not isinstance(source, (str, Path, DataModel)):
        kind = with_article(type(source).__name__)
        raise InputError(
            f"{step.qualified_name}: the input is {kind}, allowed: a path or a model. Wrap "
            "an array in a model first, such as models.ImageModel(array)."
        )
    model = source if isinstance(source, DataModel) else open_model(source)
    _remember(step, source if isinstance(source, (str, Path)) else model.get("meta.filename"))
    if step.skip and step.parent is not None:
        return model  # it passes through: what the step would need does not matter
    model = _as_declared(step, model)
    check_header(step, model, model.shape or (), _name(model))
    return model


def check_header(step: ConfiguredStep, given: HasMetadata, shape: Sequence[int], name: str) -> None:
    """Refuse a header that lacks what a step needs, or that contradicts physics or the array.

    Raises
    ------
    InputError
        Naming every keyword.
    """
    if lacking := [path for path in step.prerequisites if given.get(path) is None]:
        raise InputError(
            f"{step.qualified_name}: {name} lacks "
            f"{', '.join(headers.named(given, path) for path in lacking)}, which the step needs."
        )
    if wrong := list(headers.problems(given, shape, (*step.prerequisites, *step.uses))):
        raise InputError(
            f"{step.qualified_name}: {name}: {'; '.join(wrong)}. Mend the header, or take the "
            "file that it belongs to."
        )


def unreadable(step: ConfiguredStep, found: str, where: object) -> InputError:
    """The error for a file of a model that a step does not read."""
    return InputError(
        f"{step.qualified_name}: {where} holds {with_article(found)}, allowed: "
        f"{' or '.join(step.input_models)}. Give the product of an earlier step."
    )


def _name(model: DataModel) -> str:
    """What tells the user which file it is."""
    return str(model.path or model.get("meta.filename") or "the input")


def _remember(step: ConfiguredStep, source: str | Path | None) -> None:
    if source is not None and step.context.source is None:
        step.use(source=Path(source))


def _as_declared(step: ConfiguredStep, model: DataModel) -> DataModel:
    """The input as one of the declared models, such as a raw exposure as a ramp."""
    found, where = type(model).__name__, step.context.source or "the input"
    if found == no_product.MODEL:
        reason = (model.provenance or [{}])[-1].get("reason")
        raise InputError(
            f"{step.qualified_name}: {where} holds {with_article(found)}: an earlier step made no "
            f"product of this exposure ({reason})."
        )
    if (read := step.read_as(model)) is not None:
        return read
    raise unreadable(step, found, where)


# --- many exposures --------------------------------------------------------------------------------


def opened_library(step: ConfiguredStep, source: Any) -> ModelLibrary:
    """The input as a library: an association, files, models, parts, or a library; see `opened`."""
    if isinstance(source, ModelLibrary):
        library = source.copy()
    elif is_association(source):
        # Members that the step does not work on need not be there.
        library = ModelLibrary(source, exptypes=step.member_types)
    elif isinstance(source, (str, Path, DataModel)):
        library = ModelLibrary([source])
    else:
        library = ModelLibrary(_members(source))
    if step.member_types:
        library = library.only(*step.member_types)
    if not len(library):
        raise InputError(f"{step.qualified_name}: there are no members of the types that it takes.")
    _remember(step, _name_of(library))
    _check_members(step, library)
    return library


def _members(source: Any) -> list[Any]:
    """Files and models of a list, without products that were not made."""
    flat = [m for one in source for m in (one if isinstance(one, Parts) else (one,))]
    return [cast("Path | DataModel", m) for m in flat if m is not None]


def _check_members(step: ConfiguredStep, library: ModelLibrary) -> None:
    """Refuse members of other models than this step reads, all of them at once."""
    found = [(library.path(n), library.metadata(n)) for n in range(len(library))]
    allowed = step.input_models
    wrong = [
        f"{path} holds {with_article(metadata.model_type)}, allowed: {' or '.join(allowed)}"
        for path, metadata in found
        if allowed and metadata.model_type not in allowed
    ]
    wrong += [
        f"{path} lacks {name}"
        for path, metadata in found
        for name in step.prerequisites
        if metadata.get(name) is None
    ]
    used = (*step.prerequisites, *step.uses)
    wrong += [f"{path}: {p}" for path, meta in found for p in headers.problems(meta, (), used)]
    if wrong:
        raise InputError(
            f"{step.qualified_name}: {'; '.join(wrong)}. Give the product of an earlier step, or mend "
            "the header."
        )


def _name_of(library: ModelLibrary) -> str:
    """What products are named after: the association's product, else the first member."""
    if library.association is not None:
        if (count := len(library.association.products)) != 1:
            raise InputError(
                f"{library.association.path} describes {count} products, allowed: 1. Split it into "
                "associations of one product each."
            )
        return f"{library.association.products[0].name}.fits"
    return library.members[0].path.name
