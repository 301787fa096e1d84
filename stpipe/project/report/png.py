"""PNG images of 8-bit pixels, from numpy and zlib alone (PNG specification, ISO/IEC 15948)."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["Colour", "indexed"]

Pixels = npt.NDArray[np.uint8]
Colour = tuple[int, int, int]

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_INDEXED = 3  # colour type: pixels are numbers of a palette
_UP = 2  # filter type: differences from the row above, which compress better


def indexed(pixels: Pixels, colours: Sequence[Colour]) -> bytes:
    """An image whose pixels are numbers of `colours`; rows from top to bottom."""
    height, width = pixels.shape
    header = struct.pack(">IIBBBBB", width, height, 8, _INDEXED, 0, 0, 0)
    palette = bytes(part for colour in colours for part in colour)
    lines = np.full((height, width + 1), _UP, np.uint8)
    lines[:, 1:] = pixels
    lines[1:, 1:] -= pixels[:-1]  # modulo 256, as the filter wants it
    data = zlib.compress(lines.tobytes(), 9)
    chunks = ((b"IHDR", header), (b"PLTE", palette), (b"IDAT", data), (b"IEND", b""))
    return _SIGNATURE + b"".join(_chunk(name, content) for name, content in chunks)


def _chunk(name: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(name + content)
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)
