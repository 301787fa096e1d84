"""Collect the slits of each source from all exposures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stpipe.core.library_step import LibraryStep
from stpipe.core.step import Output
from stpipe.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from stpipe.models import ModelLibrary, MultiExposureModel, MultiSlitModel, Part
    from stpipe.models.protocols import FlatMetadata

__all__ = ["ExpToSourceStep", "label_of"]

SHUTTERS = "NRS_MSASPEC"
FIXED = "NRS_FIXEDSLIT"
BACKGROUND = "BKG"  # in the names of sources that are none
# Of an exposure and not of its slits, which have their own.
LEFT_OUT = ("meta.wcsinfo.", "meta.wcs", "meta.model_type", "meta.bunit_", "meta.date")
WIDTH = 9  # digits of a source's number in names of products


class ExpToSourceStep(LibraryStep):
    """Collect the slits of each source from all exposures: a product for each source.

    Sources are told apart by their names (SRCNAME), or by their numbers (SOURCEID) where they have no
    names. Each part of a product is the slit of one exposure, with the metadata of that exposure.
    Products are labelled with the number, after `s`, of background slitlets after `b` and of virtual
    ones after `v`; fixed slits have their names in the label, too.

    Pixels stay in the files of the exposures until they are used.
    """

    alias = "exp_to_source"
    suffix = "cal"
    input_models = ("MultiSlitModel",)
    member_types = ("science",)
    outputs = (Output("sources", "MultiExposureModel", "cal", many=True),)
    regroups = True

    def parts(self, meta: Sequence[FlatMetadata], selected: Mapping[str, Any]) -> list[str] | None:
        """The sources that the headers of calibrated exposures list; of others pixels decide."""
        del selected
        metas = meta
        if not all(any(_is_slit(path) for path in meta) for meta in metas):
            return None
        found: dict[str, list[dict[str, Any]]] = {}
        for slit in (slit for meta in metas for slit in _listed(meta)):
            found.setdefault(_key(slit), []).append(slit)
        return list(_labels(found, str(metas[0].get("meta.exposure.type")).upper()))

    def process(self, library: ModelLibrary) -> dict[str, MultiExposureModel]:
        """A source after the other, in order of appearance."""
        from stpipe import models

        found: dict[str, MultiExposureModel] = {}
        for exposure in library:
            of_exposure = _of_exposure(exposure)
            for slit in exposure.slits:
                source = found.setdefault(_key(slit), models.MultiExposureModel())
                if not len(source.exposures):
                    source.update(exposure)
                _add(source, slit, of_exposure)
        slits = {key: list(source.exposures) for key, source in found.items()}
        kind = str(library.metadata(0).get("meta.exposure.type")).upper()
        self.log.info("%d sources in %d exposures", len(found), len(library))
        return dict(zip(_labels(slits, kind), found.values(), strict=True))


def _key(slit: Any) -> str:
    """What tells sources apart."""
    name = str(slit.get("source_name") or "").strip()
    return name or str(slit.get("source_id"))


def _of_exposure(exposure: MultiSlitModel) -> dict[str, Any]:
    """Metadata of an exposure that its slits get."""
    flat = exposure.to_flat_dict().items()
    return {p: v for p, v in flat if p.startswith("meta.") and not p.startswith(LEFT_OUT)}


def _add(source: MultiExposureModel, slit: Part, of_exposure: Mapping[str, Any]) -> None:
    """Add a slit with the metadata of its exposure; those of the slit count for the source, too."""
    source.exposures.append(slit)
    part = source.exposures[-1]
    own = part.to_flat_dict()
    for path, value in of_exposure.items():
        if path not in own:
            part.set(path, value)
    part.set("meta.model_type", "SlitModel")
    if kind := own.get("meta.exposure.type"):  # a fixed slit among shutters has its own
        source.meta.exposure.type = kind


# --- labels ------------------------------------------------------------------------------------------


def _is_slit(path: str) -> bool:
    return path.startswith("slits.")


def _listed(meta: FlatMetadata) -> Iterable[dict[str, Any]]:
    """What the metadata of an exposure say of each of its slits."""
    found: dict[int, dict[str, Any]] = {}
    for path in filter(_is_slit, meta):
        _, number, name = path.split(".", 2)
        found.setdefault(int(number), {})[name] = meta[path]
    return (found[number] for number in sorted(found))


def _labels(sources: Mapping[str, Sequence[Any]], kind: str) -> dict[str, str]:
    """The keys of sources by label, in their order.

    Raises
    ------
    InputError
        When two of them would have the same label.
    """
    found: dict[str, str] = {}
    for key, slits in sources.items():
        label = label_of(slits, kind)
        if (before := found.setdefault(label, key)) != key:
            raise InputError(
                f"exp_to_source: the sources {before} and {key} have the same number (SOURCEID), "
                f"{slits[0].get('source_id')}, by which products are named. Give them different ones."
            )
    return found


def label_of(slits: Sequence[Any], kind: str) -> str:
    """The label of a source in names of products: `s000000012`, of fixed slits `s000000001-s200a1`.

    Parameters
    ----------
    slits : sequence of Part
        Of the source, in all exposures; anything with `get` and the names of their metadata.
    kind : str
        EXP_TYPE.

    Returns
    -------
    str
    """
    number = int(slits[0].get("source_id") or 0)
    letter = "v" if number < 0 and kind == SHUTTERS else "s"
    if kind == SHUTTERS and BACKGROUND in str(slits[0].get("source_name") or ""):
        letter = "b"
    label = f"{letter}{abs(number):0{WIDTH}d}"
    if kind != FIXED:
        return label
    names = dict.fromkeys(str(slit.get("name")).lower() for slit in slits)
    return "-".join([label, *names])
