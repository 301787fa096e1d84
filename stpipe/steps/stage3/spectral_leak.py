"""Subtract from spectra at 12 um of MIRI's spectrometer the light of 6 um that leaks into them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from stpipe.core.library_step import LibraryStep
from stpipe.core.step import Output
from stpipe.errors import Skip
from stpipe.science.exposure_types import MRS
from stpipe.science.spectra.spectral_leak import leaked

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stpipe.models import DataModel, ModelLibrary
    from stpipe.models.protocols import FlatMetadata, Table
    from stpipe.references.selection import Reference

__all__ = ["SpectralLeakStep"]

EXTENDED = "EXTENDED"
FLUXES = ("FLUX", "RF_FLUX")


class Side(NamedTuple):
    """A spectrum that leaks, or is leaked into: its channel, band, and a wavelength (um) of it."""

    channel: str
    band: str
    wavelength: float


SOURCE, GOAL = Side("1", "MEDIUM", 6.0), Side("3", "SHORT", 12.0)  # 1B and 3A


class SpectralLeakStep(LibraryStep):
    """Subtract from spectra at 12 um of MIRI's spectrometer the light of 6 um that leaks into them.

    Of the spectra of a target that of channel 3, band SHORT, loses the part of that of channel 1, band
    MEDIUM, that the MRSPTCORR reference has; spectra of several bands are those that cover 12 and 6 um.
    FLUX and RF_FLUX are corrected; errors stay. Without both spectra, and of extended sources, the step
    is skipped.
    """

    alias = "spectral_leak"
    suffix = "spectral_leak"
    status = "spectral_leak"
    input_models = ("MRSMultiSpecModel", "MultiSpecModel")
    prerequisites = ("meta.exposure.type",)
    reference_types = ("mrsptcorr",)
    outputs = (Output("members", "MRSMultiSpecModel", "spectral_leak", many=True),)

    def wanted_references(self, meta: FlatMetadata) -> tuple[str, ...]:
        """None for other spectra."""
        return self.reference_types if _kind(meta) == MRS else ()

    def not_applicable(self, selected: Mapping[str, Reference]) -> str:
        """Without a reference the leak is not known."""
        return super().not_applicable(selected) if selected else ""

    def not_needed(self, meta: FlatMetadata, selected: Mapping[str, Reference]) -> str:
        """Only this instrument leaks so."""
        del selected
        kind = _kind(meta)
        return "" if kind == MRS else f"it is for {MRS}, not for {kind}"

    def process(self, library: ModelLibrary) -> ModelLibrary:
        """Find both spectra and correct one of them."""
        tables = [self._table(model) for model in library]
        headers = [library.metadata(number).to_flat_dict() for number in range(len(library))]
        source, goal = (_find(side, headers, tables) for side in (SOURCE, GOAL))
        if source is None or goal is None:
            raise Skip("there is no pair of spectra of channel 1 MEDIUM and channel 3 SHORT")
        corrected = self._corrected(tables[goal], tables[source])
        self.log.info("%s is corrected by %s", *(library.path(n).name for n in (goal, source)))

        def change(model: DataModel) -> None:
            part = model.spec[0]
            units = part.units("spec_table")
            part.spec_table = corrected
            part.set_units("spec_table", units)

        library.amend_member(goal, change=change)
        return library

    def _table(self, model: DataModel) -> Table:
        """The spectrum of a member; extended sources are not corrected."""
        part = model.spec[0]
        if part.source_type == EXTENDED:
            raise Skip("the source is extended")
        return np.array(part.spec_table)

    def _corrected(self, goal: Table, source: Table) -> Table:
        """The spectrum without what leaks into it."""
        fractions = np.asarray(self.references["mrsptcorr"].leakcor_table)
        for name in FLUXES:
            if name in (goal.dtype.names or ()) and name in (source.dtype.names or ()):
                light = (source["WAVELENGTH"], source[name])
                goal[name] -= leaked(goal["WAVELENGTH"], light, fractions)
        return goal


def _find(side: Side, headers: Sequence[FlatMetadata], tables: Sequence[Table]) -> int | None:
    """The last spectrum of a channel and band, or of several bands that has the wavelength."""
    found = None
    for number, (meta, table) in enumerate(zip(headers, tables, strict=True)):
        channel, band = (str(meta.get(f"meta.instrument.{n}")).upper() for n in ("channel", "band"))
        waves = table["WAVELENGTH"]
        covers = "MULTIPLE" in band and np.nanmin(waves) < side.wavelength < np.nanmax(waves)
        if side.channel in channel and (side.band in band or covers):
            found = number
    return found


def _kind(meta: FlatMetadata) -> str:
    return str(meta.get("meta.exposure.type")).upper()
