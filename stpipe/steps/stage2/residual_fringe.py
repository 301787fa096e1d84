"""Take out of spectra of MIRI's medium-resolution spectrometer what fringes are left."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from stpipe.core.step import Step
from stpipe.errors import InputError, ParameterError, ReferenceMissing
from stpipe.models import dqflags
from stpipe.science.arrays import has
from stpipe.science.exposure_types import MRS
from stpipe.science.fringes.columns import (
    Column,
    Outcome,
    SliceRules,
    column_factors,
    detector_search,
)
from stpipe.science.wcs.mrs import CHANNEL, slices_seen
from stpipe.science.wcs.wavelengths import wavelengths

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from stpipe.models import IFUImageModel, ImageModel
    from stpipe.models.protocols import FlatMetadata
    from stpipe.references.selection import Reference
    from stpipe.science.arrays import Booleans, Doubles, Floats

__all__ = ["ResidualFringeStep"]

Calibrated: TypeAlias = "ImageModel | IFUImageModel"
BANDS = ("SHORT", "MEDIUM", "LONG")
WITH_DICHROIC = (3, 4)  # channels
NONE = 1e-3  # 1/cm; entries of the reference with shorter periods stand for none


class ResidualFringeStep(Step):
    """Take out of spectra of MIRI's medium-resolution spectrometer what fringes are left.

    Every column of a slice is divided by the sines in wavenumber that the data give strong evidence
    for, around the periods that the FRINGEFREQ reference has for the slice. Lines, which are larger
    than fringes can be, do not count in the fit. Columns that are too faint, without fringes, or
    cannot be fitted stay as they are, and the log says how many they are. Errors and flags stay.

    The slices are those of the REGIONS reference where 80 % of the light falls. The fringes of extended
    sources must have been divided out before (`fringe`). Pixels between `ignore_region_min` and
    `ignore_region_max` (um) do not count in the fit. Exposures of other types are left as they are.
    """

    alias = "residual_fringe"
    suffix = "residual_fringe"
    status = "residual_fringe"
    input_models = ("ImageModel", "IFUImageModel")
    prerequisites = ("meta.exposure.type",)
    reference_types = ("fringefreq", "regions")
    spec = """
        skip = boolean(default=True)  # Leave this step out
        ignore_region_min = float_list(default=list())  # Where regions begin that do not count, um
        ignore_region_max = float_list(default=list())  # Where they end, um; as many
    """
    ignore_region_min: list[float]
    ignore_region_max: list[float]

    def wanted_references(self, meta: FlatMetadata) -> tuple[str, ...]:
        """None without fringes."""
        return self.reference_types if _kind(meta) == MRS else ()

    def not_applicable(self, selected: Mapping[str, Reference]) -> str:
        """Without a reference the fringes are not known."""
        return super().not_applicable(selected) if selected else ""

    def not_needed(self, meta: FlatMetadata, selected: Mapping[str, Reference]) -> str:
        """Only this instrument has such fringes; those of extended sources must be gone."""
        del selected
        kind = _kind(meta)
        if kind != MRS:
            return f"it is for {MRS}, not for {kind}"
        if len(self.ignore_region_min) != len(self.ignore_region_max):
            raise ParameterError(
                f"{self.qualified_name}: ignore_region_min has {len(self.ignore_region_min)} values, "
                f"ignore_region_max {len(self.ignore_region_max)}, allowed: as many. Give both ends "
                "of each region."
            )
        return ""

    def process(self, exposure: Calibrated) -> Calibrated:
        """Correct the columns of all slices."""
        if exposure.meta.cal_step.fringe != "COMPLETE":
            raise InputError(
                f"{self.qualified_name}: {exposure.meta.filename} still has the fringes of extended "
                f"sources (S_FRINGE is {exposure.meta.cal_step.fringe}, allowed: COMPLETE). Run fringe."
            )
        slices = slices_seen(self.references["regions"], exposure.shape)
        rules = self._rules(exposure, np.unique(slices[slices > 0]))
        factors, outcomes = self._factors(exposure, slices, rules)
        data = np.asarray(exposure.data)
        exposure.data = np.where(factors == 1, data, data * factors).astype(np.float32)
        counts = ", ".join(f"{outcomes[each]} {each.value}" for each in Outcome)
        say = self.log.warning if outcomes[Outcome.FAILED] else self.log.info
        say("Columns of slices: %s", counts)
        return exposure

    def _rules(self, exposure: Calibrated, slices: npt.NDArray[np.int32]) -> dict[int, SliceRules]:
        """What is looked for in each slice, by the table of the exposure's band."""
        band = str(exposure.meta.instrument.band).upper()
        if band not in BANDS:
            raise InputError(
                f"{self.qualified_name}: BAND of {exposure.meta.filename} is "
                f"{exposure.meta.instrument.band}, allowed: {', '.join(BANDS)}. Leave the step out "
                "with skip=True."
            )
        reference = self.references["fringefreq"]
        table = getattr(reference, f"rfc_freq_{band.lower()}_table")
        rows = {int(row["slice"]): row for row in table}
        if lacking := [str(number) for number in slices if int(number) not in rows]:
            raise ReferenceMissing(
                f"{reference.meta.filename}: its table for {band} has no row for {len(lacking)} of "
                f"{len(slices)} slices ({', '.join(lacking[:5])}). Give another FRINGEFREQ reference "
                "with override_fringefreq."
            )
        return {int(number): _rules_of(rows[int(number)], int(number)) for number in slices}

    def _factors(
        self,
        exposure: Calibrated,
        slices: npt.NDArray[np.int32],
        rules: Mapping[int, SliceRules],
    ) -> tuple[Doubles, Counter[Outcome]]:
        """What every pixel is multiplied by, and what became of the columns."""
        image = self._image(exposure)
        factors, outcomes = np.ones(exposure.shape), Counter[Outcome]()
        for number, of_slice in rules.items():
            seen = slices == number
            for column in np.flatnonzero(seen.any(axis=0)):
                inside = seen[:, column]
                found, outcome = column_factors(_column(image, int(column), inside), of_slice)
                outcomes[outcome] += 1
                factors[inside, column] = found[inside]
        return factors, outcomes

    def _image(self, exposure: Calibrated) -> Column:
        """All columns (rows, columns)."""
        data, err = np.asarray(exposure.data), np.asarray(exposure.err)
        good = np.isfinite(data) & ~has(np.asarray(exposure.dq), dqflags.DO_NOT_USE)
        positive = data[data > 0]
        level = np.median(positive) if positive.size else np.float32(1)
        waves = np.asarray(wavelengths(exposure), np.float64)
        weights = _over_means(data)
        for low, high in zip(self.ignore_region_min, self.ignore_region_max, strict=True):
            weights[(waves > low) & (waves < high)] = 0
        with np.errstate(divide="ignore", invalid="ignore"):
            snr = data / err
        return Column(
            np.where(good, data / level, 0).astype(np.float64),
            weights,
            np.nan_to_num(snr, nan=0.0).astype(np.float64),
            waves,
            self._largest(waves),
        )

    def _largest(self, waves: Doubles) -> Doubles:
        """The largest amplitude of fringes at wavelengths; NaN without one."""
        table = self.references["fringefreq"].max_amp_table
        names = {name.lower(): name for name in table.dtype.names}
        at, largest = (np.asarray(table[names[n]], np.float64) for n in ("wavelength", "amplitude"))
        return np.where(np.isfinite(waves), np.interp(np.nan_to_num(waves), at, largest), np.nan)


def _rules_of(row: np.void, number: int) -> SliceRules:
    """A row of the reference, whose cells have a number for each kind of fringes."""
    names = ("ffreq", "dffreq", "max_nfringes", "pgram_res", "min_snr")
    kinds = zip(*(np.atleast_1d(row[name]) for name in names), strict=True)
    used = [each for each in kinds if each[0] > NONE]
    searches = [detector_search(float(p), float(d), int(n), float(r)) for p, d, n, r, _ in used]
    return SliceRules(
        searches, [float(each[-1]) for each in used], number // CHANNEL in WITH_DICHROIC
    )


def _column(image: Column, column: int, inside: Booleans) -> Column:
    """A column of a slice."""
    data, weights, snr, waves, largest = (each[:, column] for each in image)
    return Column(
        np.where(inside, data, 0),
        np.where(inside, weights, 0),
        snr,
        np.where(inside & np.isfinite(waves), waves, 0),
        largest,
    )


def _over_means(data: Floats) -> Doubles:
    """Data over the mean of their column; 0 where that is not finite."""
    seen = np.isfinite(data)
    count = seen.sum(axis=0)
    total = np.where(seen, data, 0).sum(axis=0, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        weights = np.where(seen, data, 0) / (total / count)
    found: Doubles = np.nan_to_num(weights, nan=0.0, posinf=0.0, neginf=0.0)
    return found


def _kind(meta: FlatMetadata) -> str:
    return str(meta.get("meta.exposure.type")).upper()
