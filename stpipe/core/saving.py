"""Saving: the names of products, and their way into files."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from stpipe import naming
from stpipe.core.products import Output, Parts, StandIn, listed, model_name
from stpipe.errors import ParameterError
from stpipe.models import history
from stpipe.system import folders

if TYPE_CHECKING:
    from stpipe.core.step import Step

__all__ = ["Saving"]


class Saving:
    """What a step does with what it has made; a part of `Step`."""

    name: str
    log: logging.Logger
    input_models: ClassVar[tuple[str, ...]]
    outputs: ClassVar[tuple[Output, ...]]
    output_file: str | None
    output_dir: str | None
    source: Path | None

    @property
    def root(self) -> Step:
        """The outermost pipeline, or the step itself."""
        raise NotImplementedError

    def products(self, model_type: str) -> tuple[Output, ...]:
        """The declared products."""
        raise NotImplementedError

    def save(self, result: Any, suffix: str | None = None) -> list[Path]:
        """Write the products under their names and return the paths.

        A `suffix` names one product on the way, which neither `output_file` nor the parameter
        `suffix` is meant for.

        Raises
        ------
        ParameterError
            When a product would overwrite the input.
        """
        made = listed(result)
        if suffix is not None:
            return self._save(made[0], self._path, suffix)
        paths = []
        labels = self.labels(made)
        for number, (product, label) in enumerate(zip(made, labels, strict=True)):
            beside = labels[0] if number else None
            place = partial(self._path, output_file=self.output_file, beside=beside)
            paths += self._save(product, place, label)
        return paths

    def _save(self, product: Any, place: Callable[..., Path], suffix: str) -> list[Path]:
        """Write a product, or each of its parts."""
        if not isinstance(product, Parts):
            return [self._write(product, place(suffix, product))]
        if self.output_file is not None:
            return self._save_folder(product, suffix)
        return [self._write(part, place(suffix, part)) for part in product]

    def _save_folder(self, parts: Parts, suffix: str) -> list[Path]:
        """Write parts into the folder `output_file`, which is there whole or not at all."""
        with folders.replacing(Path(self.output_dir or "", self.output_file or "")) as folder:
            paths = [folder / self._path(suffix, part).name for part in parts]
            for part, path in zip(parts, paths, strict=True):
                part.save(path)
            folders.write_index(folder, [path.name for path in paths])
        self.log.info("Saved %s", folders.final(folder / "x").parent)
        return [folders.final(path) for path in paths]

    def check_output_file(self) -> None:
        """Refuse a name that products cannot have: better now than after an hour."""
        if self.output_file and not any(output.many for output in self.outputs):
            # Without declared products they are of the input's model, if not of any.
            unknown = "" if self.input_models else naming.TABLES[0]
            extension = self.outputs[0].extension if self.outputs else unknown
            naming.output_path("", "", extension=extension, output_file=self.output_file)

    def labels(self, products: Sequence[Any]) -> list[str]:
        """The suffix of each product that is to be saved."""
        declared = self.products(model_name(products[0])) if products else ()
        return [output.suffix for output in declared[: len(products)]]

    def _path(self, suffix: str, product: Any, **exact: Any) -> Path:
        from stpipe.models.user_models import extension_of

        source = self.root.source or self.source
        if source is None:
            raise ParameterError(f"{self.name}: no name for the product; give output_file.")
        known = frozenset() if isinstance(product, StandIn) else history.suffixes(product)
        part = "" if isinstance(product, StandIn) else history.part_of(product)
        name = naming.of_part(naming.split(source, known).root, part) + "_uncal.fits"
        folder = self.output_dir or self.root.output_dir
        extension = extension_of(model_name(product))
        path = naming.output_path(name, suffix, extension=extension, output_dir=folder, **exact)
        if path.exists() and source.exists() and path.samefile(source):
            raise ParameterError(
                f"{self.name}: the product would overwrite its input {source}. Give another "
                "output_file or output_dir."
            )
        return path

    def _write(self, product: Any, path: Path) -> Path:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ParameterError(
                f"{self.name}: the product {path} cannot be written: {error.strerror}: "
                f"{error.filename}. Give another output_dir."
            ) from None
        product.save(path)
        self.log.info("Saved %s", path)
        return path

    def product_name(self, suffix: str) -> str:
        """The file name of this exposure's product `suffix`, in the run's output folder."""
        source = self.root.source or self.source or Path(f"{self.name}.fits")
        return str(naming.output_path(source, suffix, output_dir=self.root.output_dir))
