"""Smooth functions of two variables as sums of products of Chebyshev polynomials.

What a gwcs says of a slice is smooth. A few hundred values of it give the coefficients of a sum that is
as good as the gwcs and takes a hundredth of the time for millions of pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from stpipe.science.cubes._kernels import evaluate

if TYPE_CHECKING:
    from stpipe.science.arrays import Doubles

__all__ = ["Interval", "Surface", "nodes"]

TINY = 1e-13  # of the mean of the diagonal: keeps terms finite that samples do not tell
ROUNDS = 3


@dataclass(frozen=True)
class Interval:
    """Limits of a variable."""

    low: float
    high: float

    def scaled(self, values: Doubles) -> Doubles:
        """Values with the limits at -1 and 1."""
        middle, half = (self.low + self.high) / 2, (self.high - self.low) / 2
        return np.ascontiguousarray((values - middle) / (half or 1.0))

    def places(self, count: int) -> Doubles:
        """The zeros of the Chebyshev polynomial of degree `count`, where samples tell most."""
        middle, half = (self.low + self.high) / 2, (self.high - self.low) / 2
        return middle + half * np.cos((np.arange(count) + 0.5) * np.pi / count)


@dataclass(frozen=True)
class Surface:
    """A function of two variables.

    Attributes
    ----------
    coefficients : (n, m) float64
        Of the products of polynomials of degrees 0 to n-1 in u and 0 to m-1 in v.
    u, v : Interval
        What is -1 to 1 for the polynomials.
    """

    coefficients: Doubles
    u: Interval
    v: Interval

    def __call__(self, u: Doubles, v: Doubles) -> Doubles:
        """Values at (u, v), arrays of one shape."""
        return self.at(self.u.scaled(u), self.v.scaled(v))

    def at(self, u: Doubles, v: Doubles) -> Doubles:
        """Values where the limits are -1 and 1."""
        out = np.empty(u.size)
        evaluate(self.coefficients, np.ravel(u), np.ravel(v), out)
        return out.reshape(u.shape)

    @classmethod
    def through(
        cls, samples: tuple[Doubles, Doubles, Doubles], limits: tuple[Interval, Interval], size: int
    ) -> Surface:
        """The surface of `size` by 6 terms that is nearest to samples, by least squares.

        Parameters
        ----------
        samples : (u, v, values), each (samples,) float64
        limits : (Interval, Interval)
        size : int
            Terms in u.

        Returns
        -------
        Surface
        """
        from numpy.polynomial.chebyshev import chebvander2d

        u, v, values = samples
        terms = (size - 1, 5)
        matrix = chebvander2d(limits[0].scaled(u), limits[1].scaled(v), terms)
        # Normal equations, solved again for what is left: threads of a library of linear algebra take
        # longer to start than these few terms.
        square = np.einsum("ki,kj->ij", matrix, matrix)
        square[np.diag_indices_from(square)] += TINY * np.trace(square) / len(square)
        found = np.zeros(len(square))
        for _ in range(ROUNDS):
            left = values - np.einsum("ki,i->k", matrix, found)
            found += np.linalg.solve(square, np.einsum("ki,k->i", matrix, left))
        return cls(np.ascontiguousarray(found.reshape(size, 6)), *limits)

    @classmethod
    def on_nodes(cls, values: Doubles, limits: tuple[Interval, Interval]) -> Surface:
        """The surface through values (n, m) at the `nodes` of the limits.

        Terms are left out that are below 1e-13 of the largest.

        Parameters
        ----------
        values : (n, m) float64
        limits : (Interval, Interval)

        Returns
        -------
        Surface
        """
        found = values
        for axis in (0, 1):
            found = _transformed(np.moveaxis(found, axis, 0))
            found = np.moveaxis(found, 0, axis)
        large = np.abs(found) > np.abs(found).max() * 1e-13
        rows, columns = (int(np.max(each, initial=0)) + 1 for each in np.nonzero(large))
        return cls(np.ascontiguousarray(found[:rows, :columns]), *limits)


def _transformed(values: Doubles) -> Doubles:
    """Coefficients of polynomials through values (n, ...) at n nodes, by their orthogonality."""
    count = len(values)
    angles = (np.arange(count) + 0.5) * np.pi / count
    basis = np.cos(np.arange(count)[:, None] * angles) * 2 / count
    basis[0] /= 2
    found: Doubles = np.tensordot(basis, values, axes=1)
    return found


def nodes(limits: tuple[Interval, Interval], shape: tuple[int, int]) -> tuple[Doubles, Doubles]:
    """Places of samples from which `Surface.on_nodes` makes a surface.

    Parameters
    ----------
    limits : (Interval, Interval)
    shape : (int, int)
        How many of them along u and v.

    Returns
    -------
    u, v : (n, m) float64
    """
    axes = (limit.places(count) for limit, count in zip(limits, shape, strict=True))
    u, v = np.meshgrid(*axes, indexing="ij")
    return u, v
