"""Associations of stage 2: one exposure for each product, with its backgrounds.

A pipeline that takes exposures one by one may be given such an association. Each product is a run of
its own, named as the product is; members of the type ``background`` become the `bkg_list` of its step
bkg_subtract.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stpipe.core.inputs import is_association
from stpipe.errors import InputError
from stpipe.parameters.settings import Raw, Settings

if TYPE_CHECKING:
    from stpipe.core.configured import ConfiguredStep
    from stpipe.models import Association
    from stpipe.models.associations import Product

__all__ = ["Assignment", "assignments", "subtracts"]

_USED = ("science", "background")  # members of other types need not be there
STEP, PARAMETER = "bkg_subtract", "bkg_list"


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
        step.use(source=Path(f"{self.name}.fits"))
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


def subtracts(cls: type[ConfiguredStep]) -> bool:
    """Whether a step or pipeline subtracts backgrounds."""
    return cls.alias == STEP or STEP in cls.step_defs


def assignments(cls: type[ConfiguredStep], source: Any) -> list[Assignment]:
    """The runs that an input asks for: one for each product of an association, else one.

    Raises
    ------
    InputError
        When members are missing, a product has no exposure or several, or backgrounds that `cls`
        cannot subtract.
    """
    from stpipe.models import load_association

    if cls.takes_many or not is_association(source):
        return [Assignment(source)]
    association = load_association(source)
    association.require_members(_USED)
    return [_of_product(cls, association, product) for product in association.products]


def _of_product(
    cls: type[ConfiguredStep], association: Association, product: Product
) -> Assignment:
    science = product.of_type("science")
    if len(science) != 1:
        raise InputError(
            f"{association.path}: the product {product.name or '(unnamed)'} has {len(science)} science "
            f"members, allowed: 1. {cls.__name__} takes exposures one by one."
        )
    backgrounds = [str(member.path) for member in product.of_type("background")]
    settings = Settings()
    if backgrounds:
        step = settings if cls.alias == STEP else settings.substep(STEP)
        if not subtracts(cls):
            raise InputError(
                f"{association.path}: {cls.__name__} has no step {STEP} for background members."
            )
        step.values[PARAMETER] = Raw(backgrounds, str(association.path))
    return Assignment(science[0].path, product.name or science[0].path.stem, association, settings)
