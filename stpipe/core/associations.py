"""Associations of stage 2: one exposure for each product, with what is subtracted and its catalogue.

A pipeline that takes exposures one by one may be given such an association. Each product is a run of
its own, named as the product is; members of the type ``background`` become the `bkg_list` of its step
bkg_subtract, those of the type ``imprint`` the `imprint_list` of imprint and bkg_subtract, and so on:
see `_LISTS` and `_SINGLE`. The header of an exposure may name the catalogue of its direct image, too.
In a project members may be products of earlier stages.

Steps over many exposures get their lists in the same way: members of the type ``background`` become the
`bkg_list` of master_background.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from stpipe.core.inputs import is_association
from stpipe.errors import InputError
from stpipe.models.associations import is_there, load_association
from stpipe.parameters.settings import Raw, Settings

if TYPE_CHECKING:
    from stpipe.core.configured import ConfiguredStep
    from stpipe.models import Association
    from stpipe.models.associations import Member, Product

__all__ = ["Assignment", "Prepared", "assignments", "takes_other_members"]

# Members of a type, and the parameters of steps that name them; of other types they need not be there.
_LISTS = (
    ("background", "bkg_subtract", "bkg_list"),
    ("background", "badpix_selfcal", "bkg_list"),
    ("background", "master_background", "bkg_list"),
    ("imprint", "imprint", "imprint_list"),
    ("imprint", "bkg_subtract", "imprint_list"),  # from backgrounds, too
    ("selfcal", "badpix_selfcal", "selfcal_list"),
)
_CATALOGUES = ("sourcecat", "extract_2d", "source_catalog")
_ACQUISITION = ("target_acquisition", "targ_centroid", "ta_file")  # need not be there
_SINGLE = (_CATALOGUES, _ACQUISITION)
_SUBTRACTED = ("background", "imprint")  # which no pipeline may leave out
_CATALOGUE = "meta.source_catalog"  # where an exposure names the one of its direct image


class Prepared(Protocol):
    """A member that an earlier stage makes."""

    @property
    def path(self) -> Path:
        """Its file, which need not be there yet."""

    @property
    def origin(self) -> Path:
        """The exposure that it is made of."""


@dataclass(frozen=True)
class Assignment:
    """The input of one run: an exposure, and what its association says about it, if it has one."""

    source: Any
    name: str = ""  # of what is made of it
    association: Association | None = None
    settings: Settings = field(default_factory=Settings)

    @contextmanager
    def opened(self, step: ConfiguredStep) -> Iterator[Any]:
        """The exposure as `step` takes it, with what its association says about it."""
        from stpipe import models

        if self.association is None:
            yield self.source
            return
        step.use(source=Path(f"{self.name}.fits"), origin=Path(self.source))
        with models.open(self.source) as exposure:
            for path, value in self.association_metadata.items():
                exposure.set(path, value or None)
            yield exposure

    @property
    def association_metadata(self) -> dict[str, str]:
        """Metadata that the exposure gets from its association."""
        if self.association is None:
            return {}
        return {
            "meta.asn.table_name": self.association.path.name,
            "meta.asn.pool_name": self.association.asn_pool,
        }


def takes_other_members(cls: type[ConfiguredStep]) -> bool:
    """Whether a step or pipeline uses members of an association beside the exposure."""
    return any(_has(cls, step) for _, step, _ in (*_LISTS, *_SINGLE))


def _has(cls: type[ConfiguredStep], step: str) -> bool:
    return cls.alias == step or step in cls.step_defs


def assignments(
    cls: type[ConfiguredStep], source: Any, made: Mapping[str, Prepared] | None = None
) -> list[Assignment]:
    """The runs that an input asks for: one for each product of an association, else one.

    Members whose file names are among `made` are taken from there.

    Raises
    ------
    InputError
        When members are missing, a product has no exposure or several, several catalogues, or
        backgrounds or imprints that the pipeline `cls` cannot subtract.
    """
    if cls.takes_many:
        return [Assignment(source, settings=_of_many(cls, source, made or {}))]
    if not is_association(source):
        return [Assignment(source, settings=_of_header(cls, source))]
    association = load_association(source)
    used = [kind for kind, step, _ in (*_LISTS, _CATALOGUES) if _has(cls, step)]
    made = made or {}
    association.require_members(("science", *used), made)
    return [_of_product(cls, association, product, made) for product in association.products]


def _of_many(cls: type[ConfiguredStep], source: Any, made: Mapping[str, Prepared]) -> Settings:
    """The lists of a step over many exposures that members of an association make."""
    settings, used = Settings(), [use for use in _LISTS if _has(cls, use[1])]
    source = getattr(source, "association", None) or source  # of a library
    if not used or not is_association(source):
        return settings
    association = load_association(source)
    association.require_members([kind for kind, *_ in used], made)
    for kind, step, parameter in used:
        if paths := [str(_path(m, made)) for p in association.products for m in p.of_type(kind)]:
            _set(cls, settings, (step, parameter), Raw(paths, str(association.path)))
    return settings


def _of_product(
    cls: type[ConfiguredStep],
    association: Association,
    product: Product,
    made: Mapping[str, Prepared],
) -> Assignment:
    name = f"{association.path}: the product {product.name or '(unnamed)'}"
    science = product.of_type("science")
    if len(science) != 1:
        raise InputError(
            f"{name} has {len(science)} science members, allowed: 1. {cls.__name__} takes exposures "
            "one by one."
        )
    exposure = made.get(science[0].path.name)
    settings = _of_header(cls, exposure.origin if exposure else science[0].path)
    where = str(association.path)
    for kind, step, parameter in _LISTS:
        if members := product.of_type(kind):
            _refuse_unused(cls, kind, where)
            _set(
                cls, settings, (step, parameter), Raw([str(_path(m, made)) for m in members], where)
            )
    for kind, *use in _SINGLE:
        members = product.of_type(kind)
        if len(members) > 1:
            raise InputError(f"{name} has {len(members)} {kind} members, allowed: 1.")
        if members and (members[0].path.name in made or is_there(members[0].path)):
            _set(cls, settings, (use[0], use[1]), Raw(str(_path(members[0], made)), where))
    name = product.name or science[0].path.stem
    return Assignment(_path(science[0], made), name, association, settings)


def _path(member: Member, made: Mapping[str, Prepared]) -> Path:
    name = member.path.name
    return made[name].path if name in made else member.path


def _refuse_unused(cls: type[ConfiguredStep], kind: str, where: str) -> None:
    """Refuse members that are to be subtracted, and that a pipeline has no step for."""
    steps = [step for other, step, _ in _LISTS if other == kind]
    if cls.composes and kind in _SUBTRACTED and not any(_has(cls, step) for step in steps):
        raise InputError(f"{where}: {cls.__name__} has no step {steps[0]} for {kind} members.")


def _of_header(cls: type[ConfiguredStep], source: Any) -> Settings:
    """The catalogue that an exposure names, if it lies beside the exposure."""
    from stpipe import models

    settings = Settings()
    if not _has(cls, _CATALOGUES[1]) or not isinstance(source, (str, Path, models.DataModel)):
        return settings
    if isinstance(source, models.DataModel):
        named, folder = source.get(_CATALOGUE), Path(source.path or "").parent
    else:
        named, folder = models.open_metadata(source).get(_CATALOGUE), Path(source).parent
    # A name, never a path: headers do not lead to other folders.
    beside = folder / Path(str(named or "")).name
    if named and is_there(beside):
        _set(cls, settings, _CATALOGUES[1:], Raw(str(beside), f"{source}, {_CATALOGUE}"))
    return settings


def _set(cls: type[ConfiguredStep], settings: Settings, use: tuple[str, str], value: Raw) -> None:
    step, parameter = use
    if _has(cls, step):
        own = settings if cls.alias == step else settings.substep(step)
        own.values[parameter] = value
