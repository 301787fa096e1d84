"""What Snakefiles import: the one module whose names generated files rely on."""

from __future__ import annotations

from stpipe.project.backup import back_up, discard_backup, restore_missing, to_be_made
from stpipe.project.plan import freeze, load, use_own_commands

__all__ = [
    "back_up",
    "discard_backup",
    "freeze",
    "load",
    "restore_missing",
    "to_be_made",
    "use_own_commands",
]
