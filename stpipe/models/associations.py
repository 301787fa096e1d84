"""Associations: which exposures belong together, and what is made of them.

The archive ships them as JSON; paths of members are relative to the association's own file::

    {"asn_type": "image3", "asn_rule": "DMS_Level3_Base", "asn_id": "a3001", "asn_pool": "pool.csv",
     "program": "01234",
     "products": [{"name": "jw01234-a3001_t001_nircam_f200w",
                   "members": [{"expname": "x_cal.fits", "exptype": "science"}]}]}
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stpipe import naming
from stpipe.errors import InputError
from stpipe.system.safe_yaml import whole_number
from stpipe.system.text import counted

__all__ = ["Association", "Member", "Product", "is_there", "load_association"]

_OWN = ("asn_type", "asn_rule", "asn_id", "asn_pool", "program", "products")
_IN_MEMORY = "association"  # what messages and products call one without a file

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Member:
    """One exposure: its file, what it is for, and whatever else the association says of it."""

    path: Path
    exptype: str = "science"
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Product:
    """What is made of some members."""

    name: str
    members: tuple[Member, ...]

    def of_type(self, exptype: str) -> tuple[Member, ...]:
        """The members of a type, such as ``science`` or ``background``."""
        return tuple(member for member in self.members if member.exptype == exptype)


@dataclass(frozen=True)
class Association:
    """Products and their members; ``more`` holds what else the file says."""

    path: Path
    products: tuple[Product, ...]
    asn_id: str = ""
    asn_pool: str = ""
    asn_type: str = ""
    asn_rule: str = ""
    program: str = ""
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def members(self) -> tuple[Member, ...]:
        """The members of all products."""
        return tuple(member for product in self.products for member in product.members)

    @property
    def is_of_stage_2(self) -> bool:
        """Whether each product is of one exposure, as ``image2`` and ``spec2`` are."""
        return self.asn_type.lower().endswith("2")

    def require_members(self, exptypes: Collection[str] = (), made: Collection[str] = ()) -> None:
        """Check that all members are there, or those of the types that somebody uses.

        Files with the names `made` are made by somebody.

        Raises
        ------
        InputError
            Naming every member that is missing.
        """
        used = [m for m in self.members if not exptypes or m.exptype in exptypes]
        lacking = (m.path for m in used if m.path.name not in made and not is_there(m.path))
        missing = sorted(set(map(str, lacking)))
        if missing:
            names = "".join(f"\n  {name}" for name in missing)
            share = f"{len(missing)} of {counted(len(used), 'member')}"
            raise InputError(
                f"{self.path}: {share} not found:{names}\n"
                f"Paths are relative to {self.path.parent.resolve()}."
            )


def is_there(path: Path) -> bool:
    """Whether there is such a file; False for names that no file can have."""
    try:
        return path.is_file()
    except OSError:
        return False


def load_association(
    source: str | os.PathLike[str] | Mapping[str, Any] | Association,
) -> Association:
    """Read an association file; members may be missing.

    Parameters
    ----------
    source
        The file; or what such a file says, as a dictionary whose paths are relative to the current
        folder; or an association, which is returned as it is.

    Raises
    ------
    InputError
        When it is missing, is not JSON, or is not an association; with every problem.
    """
    if isinstance(source, Association):
        return source
    file = Path(_IN_MEMORY) if isinstance(source, Mapping) else Path(source)
    tree = dict(source) if isinstance(source, Mapping) else _read(file)
    if problems := list(_problems(tree)):
        raise InputError(
            f"{file} is not a valid association:" + "".join(f"\n  {p}" for p in problems)
        )
    return Association(
        path=file,
        products=tuple(_product(product, file) for product in tree["products"]),
        **{name: str(tree.get(name) or "") for name in _OWN[:-1]},
        more={name: value for name, value in tree.items() if name not in _OWN},
    )


def _read(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8-sig"), parse_int=whole_number)
    except FileNotFoundError:
        raise InputError(f"There is no file {file}; check the name and the folder.") from None
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}.") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file} is not a valid association: it is not JSON: {error}.") from None


def _problems(tree: object) -> Iterator[str]:
    products = tree.get("products") if isinstance(tree, dict) else None
    if not isinstance(products, list) or not products:
        yield 'there is no list "products"'
        return
    for number, product in enumerate(products):
        yield from (f"products[{number}]{problem}" for problem in _product_problems(product))


def _product_problems(product: Any) -> Iterator[str]:
    members = product.get("members") if isinstance(product, dict) else None
    if not isinstance(members, list):
        yield ' has no list "members"'
        return
    if not isinstance(product.get("name") or "", str):
        yield f' has the "name" {product["name"]!r}; allowed is text'
    for place, member in enumerate(members):
        name = member.get("expname") if isinstance(member, dict) else None
        if not isinstance(name, str) or not name:
            yield f'.members[{place}] has no "expname"'
            continue
        exptype = member.get("exptype", "science")
        if not isinstance(exptype, str):
            yield f'.members[{place}] has the "exptype" {exptype!r}; allowed is text'


def _product(product: Mapping[str, Any], file: Path) -> Product:
    members: dict[str, Member] = {}
    twice: dict[str, None] = {}
    for listed in product["members"]:
        member = _member(listed, file.parent)
        key = json.dumps(
            [str(member.path), member.exptype, member.more], sort_keys=True, default=str
        )
        if members.setdefault(key, member) is not member:
            twice[member.path.name] = None
    if twice:
        log.warning("%s lists %s more than once; each counts once", file, ", ".join(twice))
    name = str(product.get("name") or "")
    if not name and members:
        # Its exposures are what an unnamed product is known by.
        listing = list(members.values())
        first = next((m for m in listing if m.exptype == "science"), listing[0])
        name = naming.split(first.path).root
        log.warning("%s: a product has no name; it is named %s after its first member", file, name)
    return Product(name, tuple(members.values()))


def _member(member: Mapping[str, Any], folder: Path) -> Member:
    more = {name: value for name, value in member.items() if name not in ("expname", "exptype")}
    return Member(folder / member["expname"], str(member.get("exptype", "science")).lower(), more)
