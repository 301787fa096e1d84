"""Interferometric observables: OIFITS files."""

from __future__ import annotations

from collections.abc import Iterator

from stpipe.models.base import DataModel

__all__ = ["AmiOIModel"]

MEASURED = ("t3", "vis", "vis2", "q4")
REVISION = 2  # of the definitions of all tables


class AmiOIModel(DataModel):
    """Observables of NIRISS AMI as OIFITS 2 (Duvert et al. 2017, A&A 597, A8) has them.

    OIFITS wants some metadata under other names and in the headers of its tables;
    ``meta.oifits.derived`` is filled with them when the model is validated or saved.
    """

    schema_name = "amioi.schema.json"
    primary = "t3"
    reads = ()

    def validate(self) -> None:
        """Fill in what follows from other metadata, then check."""
        self._derive()
        super().validate()

    def _problems(self) -> Iterator[str]:
        yield from super()._problems()
        if not any(map(self.has, MEASURED)):
            yield f"no observables are set; one at least of {', '.join(MEASURED)} is required."

    def _derive(self) -> None:
        meta = self.meta
        derived = meta.oifits.derived
        derived.observer = meta.program.pi_name
        derived.object = meta.target.proposer_name or meta.target.catalog_name
        derived.content = "OIFITS2"
        self._derive_array()
        for table in filter(self.has, MEASURED):
            header = getattr(derived, table)
            header.array_name = meta.oifits.array_name
            header.date_obs = meta.observation.date
        for table in filter(self.has, (*MEASURED, "wavelength")):
            getattr(derived, table).instrument_name = meta.instrument.name
        for table in filter(self.has, (*MEASURED, "wavelength", "array", "target")):
            getattr(derived, table).revn = REVISION

    def _derive_array(self) -> None:
        """The array is in the sky's frame, at the origin, unless it was said to be elsewhere."""
        array = self.meta.oifits.derived.array
        if array.frame is None:
            array.frame = "SKY"
        for axis in "xyz":
            if getattr(array, axis) is None:
                setattr(array, axis, 0.0)
