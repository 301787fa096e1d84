"""The step `ipc`."""
