"""The command `strun`."""
