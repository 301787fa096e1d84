"""The command `stflow`."""
