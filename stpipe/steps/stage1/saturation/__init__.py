"""The step `saturation`."""
