"""Save products under their names."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stpipe import naming
from stpipe.core.products import Output, Parts, Placeholder, header_of, listed, model_name
from stpipe.errors import InputError, ParameterError
from stpipe.models import DataModel, ModelLibrary, open_metadata
from stpipe.models.history import part_of, steps_in, suffixes, suffixes_in
from stpipe.models.user_models import extension_of
from stpipe.system import folders

if TYPE_CHECKING:
    from stpipe.core.configured import ConfiguredStep

__all__ = ["check_output_file", "product_name", "save", "save_members", "save_side"]


def save(step: ConfiguredStep, result: Any, suffix: str | None = None) -> list[Path]:
    """Write the products under their names and return the paths.

    With a `suffix` the product is an intermediate one: `output_file` and the parameter `suffix` do not
    apply to it.

    Raises
    ------
    ParameterError
        When a product would overwrite the input.
    """
    made = listed(result)
    if suffix is not None:
        return _save(step, made[0], partial(_path, step), suffix)
    paths = []
    labels = step.labels(made)
    for number, (product, label) in enumerate(zip(made, labels, strict=True)):
        beside = labels[0] if number else None
        place = partial(_path, step, output_file=step.output_file, beside=beside)
        paths += _save(step, product, place, label)
    return paths


def save_side(step: ConfiguredStep, output: Output, product: Any) -> None:
    """Write a side product beside the others, or under the name that a parameter gives."""
    named = output.file and step.context.own_names
    exact = getattr(step, output.file) if named else None
    folder = step.output_dir or step.context.output_dir or Path(step.output_file or "").parent
    path = _path(step, output.suffix, product, output_dir=folder, output_file=exact)
    step.saved_aside.append(_write(step, product, path))


def check_output_file(step: ConfiguredStep) -> None:
    """Refuse invalid names of products before anything is computed.

    Raises
    ------
    ParameterError
        When the extension of one does not suit its product.
    """
    outputs = step.main_outputs()
    if step.output_file and not any(output.many for output in outputs):
        # Without a declaration the product is of the input's model, whatever that is.
        unknown = "" if step.input_models else naming.TABLES[0]
        extension = outputs[0].extension if outputs else unknown
        naming.output_path("", "", extension=extension, output_file=step.output_file)
    for output in step.side_outputs({}):
        if output.file and (name := getattr(step, output.file)):
            naming.output_path("", "", extension=output.extension, output_file=name)


def product_name(step: ConfiguredStep, suffix: str) -> str:
    """The file name of this exposure's product `suffix`, in the run's output folder."""
    source = step.context.source or Path(f"{step.name}.fits")
    return str(naming.output_path(source, suffix, output_dir=step.context.output_dir))


# --- models, parts and libraries -------------------------------------------------------------------


def _save(
    step: ConfiguredStep, product: Any, place: Callable[..., Path], suffix: str
) -> list[Path]:
    """Write a product, or each of its parts or members."""
    if isinstance(product, ModelLibrary):
        return save_members(step, product, suffix)
    if isinstance(product, DataModel) and step.output_file and _is_many(step, product):
        product = Parts(("",), (product,))
    if not isinstance(product, Parts):
        return [_write(step, product, place(suffix, product))]
    if step.output_file is not None:
        return _save_folder(step, product, suffix)
    return [_write(step, part, place(suffix, part)) for part in product]


def _is_many(step: ConfiguredStep, product: DataModel) -> bool:
    """Whether a rule expects a folder, of a step that makes one product for each exposure of others."""
    declared = step.products(model_name(product), header_of(product))
    return declared[0].many and not naming.split(str(step.output_file)).extension


def _save_folder(step: ConfiguredStep, parts: Parts, suffix: str) -> list[Path]:
    """Write parts into the folder `output_file`, which is there whole or not at all."""
    with folders.replacing(Path(step.output_dir or "", step.output_file or "")) as folder:
        paths = [folder / _path(step, suffix, part).name for part in parts]
        for part, path in zip(parts, paths, strict=True):
            part.save(path)
        folders.write_index(folder, [path.name for path in paths])
    step.log.info("Saved %s", folders.final(folder / "x").parent)
    return [folders.final(path) for path in paths]


def save_members(step: ConfiguredStep, library: ModelLibrary, suffix: str) -> list[Path]:
    """Write the members of a library, into the folder `output_file` if that is given."""
    histories = [library.metadata(n).get("provenance") or [] for n in range(len(library))]
    names = [
        naming.split(member.path, suffixes_in(history)).with_suffix(suffix)
        for member, history in zip(library.members, histories, strict=True)
    ]
    if step.output_file is None:
        folder = Path(step.output_dir or step.context.output_dir or "")
        return [
            _write(step, model, folder / name) for name, model in zip(names, library, strict=True)
        ]
    with folders.replacing(Path(step.output_dir or "", step.output_file)) as folder:
        for name, model in zip(names, library, strict=True):
            model.save(folder / name)
        folders.write_index(folder, names)
    return [folders.final(folder / name) for name in names]


def _path(step: ConfiguredStep, suffix: str, product: Any, **exact: Any) -> Path:
    source = step.context.source
    if source is None:
        raise ParameterError(f"{step.name}: no name for the product; give output_file.")
    known = frozenset() if isinstance(product, Placeholder) else suffixes(product)
    part = "" if isinstance(product, Placeholder) else part_of(product)
    name = naming.of_part(naming.split(source, known).root, part) + "_uncal.fits"
    where = {"output_dir": step.output_dir or step.context.output_dir, **exact}
    extension = extension_of(model_name(product))
    path = naming.output_path(name, suffix, extension=extension, **where)
    if (length := len(os.fsencode(path.name))) > naming.LONGEST:
        raise ParameterError(
            f"{step.name}: the product {path.name} would have a name of {length} bytes, allowed: "
            f"{naming.LONGEST}. Rename the exposure, or give output_file."
        )
    if path.exists() and source.exists() and path.samefile(source):
        raise ParameterError(
            f"{step.name}: the product would overwrite its input {source}. Give another "
            "output_file or output_dir."
        )
    return path


def _write(step: ConfiguredStep, product: Any, path: Path) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ParameterError(
            f"{step.name}: the product {path} cannot be written: {error.strerror}: "
            f"{error.filename}. Give another output_dir."
        ) from None
    _tell_what_is_lost(step, product, path)
    product.save(path)
    step.log.info("Saved %s", path)
    return path


def _tell_what_is_lost(step: ConfiguredStep, product: Any, path: Path) -> None:
    """Warn where a product replaces one that more steps had worked on."""
    if not path.is_file():
        return
    with suppress(InputError):  # a damaged file is no loss
        before = steps_in(open_metadata(path).get("provenance") or [])
        now = steps_in(product.provenance or [])
        if lost := [name for name in before if name not in now]:
            step.log.warning(
                "%s replaces a product that had gone through %s, too", path, ", ".join(lost)
            )
