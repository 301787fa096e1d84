"""The step `tweakreg`."""
