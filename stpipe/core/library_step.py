"""LibraryStep: a step over many exposures, such as the members of an association.

`process` takes a `ModelLibrary`, which opens one member at a time, and returns that library with
members replaced, one model made of all, or a mapping of models by label. Override `process`, declare
`outputs`; one that is `many` for a library that goes on.

    class Median(LibraryStep):
        alias = suffix = "median"

        def process(self, library):
            return models.ImageModel(np.median([m.data for m in library], axis=0))
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

from stpipe import hooks, naming
from stpipe.core import provenance
from stpipe.core.products import Parts
from stpipe.core.step import Output, Products, StandIn, Step
from stpipe.errors import InputError, NoProduct, ParameterError, Skip
from stpipe.models.history import append, now, part_in, suffixes_in
from stpipe.references.opened import References
from stpipe.system import logs

if TYPE_CHECKING:
    from stpipe.models import DataModel, ModelLibrary

__all__ = ["LibraryStep", "stand_in_of"]


class LibraryStep(Step):
    """A step over many exposures; see the module's text for what to override.

    `member_types` says which members of an association it works on, such as ``science``; others are
    left out. Empty: all of them.
    """

    member_types: ClassVar[tuple[str, ...]] = ()

    def open(self, source: Any) -> Any:
        """The input as a library: an association file, files, models, parts, or a library.

        Raises
        ------
        InputError
            When a member is missing or not of a model that this step reads.
        """
        from stpipe import models

        if isinstance(source, models.ModelLibrary):
            library = source.copy()
        elif isinstance(source, (str, Path)) and Path(source).suffix != ".json":
            library = models.ModelLibrary([str(source)])
        elif isinstance(source, models.DataModel):
            library = models.ModelLibrary([source])
        else:
            made = source if isinstance(source, (str, Path)) else _members(source)
            library = models.ModelLibrary(made)
        if self.member_types:
            library = library.only(*self.member_types)
        if not len(library):
            raise InputError(f"{self.qualified_name}: there are no members to work on.")
        self._remember(_name_of(library))
        self._check_members(library)
        return library

    def _check_members(self, library: ModelLibrary) -> None:
        """Refuse members of other models than this step reads, all of them at once."""
        found = [(library.path(n), library.metadata(n)) for n in range(len(library))]
        allowed = self.input_models
        wrong = [
            f"{path} holds a {metadata.model_type}, allowed: {' or '.join(allowed)}"
            for path, metadata in found
            if allowed and metadata.model_type not in allowed
        ]
        wrong += [
            f"{path} lacks {name}"
            for path, metadata in found
            for name in self.prerequisites
            if metadata.get(name) is None
        ]
        if wrong:
            raise InputError(
                f"{self.qualified_name}: {'; '.join(wrong)}. Give the product of an earlier step."
            )

    def run(self, *inputs: Any) -> Any:
        """Run on an association, a library, or a list of files or models."""
        stand_in = stand_in_of(inputs[0])
        if stand_in is not None and self.root.window is None:
            return stand_in.record(self, *inputs[1:])
        if isinstance(inputs[0], (list, tuple)) and not any(m is not None for m in inputs[0]):
            return self.nothing("there is nothing to work on")
        return super().run(*inputs)

    def run_alone(self, first: Any, *more: Any) -> Any:
        """Run on many exposures, whatever part of a pipeline is to run."""
        library = self.open(first)
        self.settle_for(library.metadata(0).to_flat_dict())
        return self._run(library, *more)

    def _execute(self, library: Any, more: Sequence[Any], started: str) -> Any:
        meta = library.metadata(0).to_flat_dict()
        self.selected = self.select_references(meta)
        if reason := self.not_applicable(self.selected) or self.not_needed(meta, self.selected):
            raise Skip(reason)
        self._refuse_shell_hooks()
        with library[0] as first:
            self._references = References(self.selected, first)
        try:
            with logs.noticed() as self.warnings:
                library = self._pre_hooked(library)
                with library[0] as first:
                    history = list(first.provenance or [])
                result = self.process(library, *more)
            return self._concluded(history, result, started)
        finally:
            self._references.close()

    def _pre_hooked(self, library: Any) -> Any:
        """What the pre-hooks leave of a library; each is noted in every member's history."""
        for hook in self.pre_hooks:
            started = now()
            library = hooks.run(hook, library, self.log)
            record = provenance.hooked(self, "pre_hooks", hooks.text(hook), started)
            library.amend(partial(append, record=record))
        return library

    def _refuse_shell_hooks(self) -> None:
        shell = [h for h in (*self.pre_hooks, *self.post_hooks) if hooks.is_shell(h)]
        if shell:
            raise ParameterError(
                f"{self.qualified_name}: the hook {hooks.text(shell[0])} is a command, which takes one "
                "file, but this step works on many. Give it to a step before or after."
            )

    def _concluded(self, history: Sequence[Any], result: Any, started: str) -> Any:
        """Write down how what `process` made was made."""
        if result is None:
            raise NoProduct("process returned nothing")
        made = result if isinstance(result, tuple) else (result,)
        declared = self.products(type(made[0]).__name__)
        record = provenance.done(self, self.selected, started)
        finished = [
            self._signed(output, product, history, record)
            for output, product in zip(declared, made, strict=True)
        ]
        return Products([o.name for o in declared], finished) if self.outputs[1:] else finished[0]

    def _signed(
        self, output: Output, product: Any, history: Sequence[Any], record: Mapping[str, Any]
    ) -> Any:
        from stpipe import models

        own = {**record, "suffix": output.suffix}
        if isinstance(product, models.ModelLibrary):
            product.amend(lambda member: self._stamp(member, member.provenance or [], own))
            return product
        # What is made of all is no part of anything.
        whole = {"part": ""} if part_in(history) else {}
        stamped = self._stamped(product, history, {**own, **whole})
        return stamped if output.many else self.hooked("post_hooks", stamped)

    def _skipped(self, library: Any, reason: str) -> Any:
        """The same members, each with a note that this step did nothing and why."""
        self.log.info("Step %s skipped: %s", self.qualified_name, reason)
        source = self.skip_source(reason)
        library.amend(lambda member: self.mark_skipped(member, reason, source))
        return library

    def _save(self, product: Any, place: Any, suffix: str) -> list[Path]:
        """Write a product; of a library every member, under its own root name."""
        from stpipe import models

        if not isinstance(product, models.ModelLibrary):
            return super()._save(product, place, suffix)
        return save_members(self, product, suffix)


def save_members(step: Step, library: ModelLibrary, suffix: str) -> list[Path]:
    """Write the members of a library, into the folder `output_file` if that is given."""
    from stpipe.system import folders

    histories = [library.metadata(n).get("provenance") or [] for n in range(len(library))]
    names = [
        naming.split(member.path, suffixes_in(history)).with_suffix(suffix)
        for member, history in zip(library.members, histories, strict=True)
    ]
    if step.output_file is None:
        folder = Path(step.output_dir or step.root.output_dir or "")
        return [
            step._write(model, folder / name)  # noqa: SLF001 - a part of the step, in its own file
            for name, model in zip(names, library, strict=True)
        ]
    with folders.replacing(Path(step.output_dir or "", step.output_file)) as folder:
        for name, model in zip(names, library, strict=True):
            model.save(folder / name)
        folders.write_index(folder, names)
    return [folders.final(folder / name) for name in names]


def stand_in_of(given: Any) -> StandIn | None:
    """The stand-in for what a library step is given, be it a list with stand-ins in it."""
    if isinstance(given, StandIn):
        return given
    if isinstance(given, (list, tuple)):
        found = [one for one in given if isinstance(one, StandIn)]
        return found[0].together(given) if found else None
    return None


def _members(source: Any) -> list[Any]:
    """Files and models of a list; what was not made is left out."""
    flat = [m for one in source for m in (one if isinstance(one, Parts) else (one,))]
    return [cast("Path | DataModel", m) for m in flat if m is not None]


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
