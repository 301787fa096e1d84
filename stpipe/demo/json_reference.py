"""Reference files that are JSON."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["JsonReference"]


@dataclass(frozen=True)
class JsonReference:
    """A reference file of text, such as EXTRACT1D."""

    content: dict[str, Any]

    def save(self, path: Path) -> Path:
        """Write it, whole or not at all."""
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        temporary.write_text(json.dumps(self.content, indent=1) + "\n", encoding="utf-8")
        temporary.replace(path)
        return path
