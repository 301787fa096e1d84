"""What Snakefiles import: the one module whose names generated files rely on."""

from __future__ import annotations

from stpipe.project.backup import forget, give_back, keep, to_be_made
from stpipe.project.plan import freeze, load, use_own_commands

__all__ = ["forget", "freeze", "give_back", "keep", "load", "to_be_made", "use_own_commands"]
