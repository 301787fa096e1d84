"""What steps make: declared outputs, several products by name, the parts of one, and placeholders."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from stpipe.core.headers import with_counts

__all__ = [
    "Output",
    "Parts",
    "Placeholder",
    "Products",
    "first_product",
    "header_of",
    "listed",
    "model_name",
]


@dataclass(frozen=True)
class Output:
    """A declared product: its name in code, its model class and the suffix of its file.

    A product that there are `many` of comes from `process` as a mapping from labels to models, and
    arrives in a pipeline as `Parts` that it can loop over.

    A product that is made only `when` the parameter of that name asks for it is a side product:
    `process` hands it to `add_product`, it is saved by itself, and steps that follow do not get it.
    The parameter `file`, if there is one, names its file.
    """

    name: str
    model: str
    suffix: str
    many: bool = False
    when: str = ""
    file: str = ""

    @property
    def extension(self) -> str:
        """The extension of the product's file, which its model decides."""
        from stpipe.models.user_models import extension_of

        return extension_of(self.model)


class Products(tuple[Any, ...]):  # noqa: SLOT001 - names are an attribute
    """The products of a step with several, in declared order and by name (`products.rate`).

    A step that is given `Products` takes the first.
    """

    names: tuple[str, ...]

    def __new__(cls, names: Iterable[str], products: Iterable[Any]) -> Self:
        """Pair names and products, in their order."""
        made = super().__new__(cls, products)
        made.names = tuple(names)
        return made

    def __getattr__(self, name: str) -> Any:
        if name in self.names:
            return self[self.names.index(name)]
        raise AttributeError(f"products are {', '.join(self.names)}; there is no {name!r}")


class Placeholder:
    """Stands for a model while a pipeline is traced; `model` is the class of that model."""

    model: str

    @property
    def length(self) -> int:
        """How many models it stands for, if it is a list of them; -1 if only pixels decide, else 0."""
        return 0

    def flat_meta(self) -> dict[str, Any]:
        """The metadata that the model has as far as they are known, by dotted name."""
        raise NotImplementedError


def first_product(given: Any) -> Any:
    """The input of a step: of several products the first."""
    return given[0] if isinstance(given, Products) else given


class Parts(tuple[Any, ...]):  # noqa: SLOT001 - labels are an attribute
    """Models in their order, each with a label that tells it apart: `for slit in slits`.

    A part of the exposure `X` with the label `s1` is saved as `X_s1_<suffix>.fits`.
    """

    labels: tuple[str, ...]

    def __new__(cls, labels: Iterable[str], models: Iterable[Any]) -> Self:
        """Pair labels and models, in their order."""
        made = super().__new__(cls, models)
        made.labels = tuple(labels)
        return made

    @classmethod
    def of(cls, models: Mapping[str, Any]) -> Self:
        """Parts from models by label."""
        return cls(models.keys(), models.values())


def model_name(product: Any) -> str:
    """The class of a product's model, or of its parts' models."""
    if isinstance(product, Placeholder):
        return product.model
    return type(product[0] if isinstance(product, Parts) and product else product).__name__


def header_of(product: Any) -> dict[str, Any]:
    """Metadata by dotted name: of a library or parts, those of the first."""
    if isinstance(product, Placeholder):
        return product.flat_meta()
    if isinstance(product, Parts):
        return header_of(product[0]) if product else {}
    first = product if hasattr(product, "to_flat_dict") else product.metadata(0)
    return with_counts(first.to_flat_dict(), getattr(first, "shape", None) or ())


def listed(result: Any) -> list[Any]:
    """The products of a step, each a model or parts; those that were not made are left out."""
    several = isinstance(result, (tuple, list)) and not isinstance(result, Parts)
    return [product for product in (result if several else (result,)) if product is not None]
