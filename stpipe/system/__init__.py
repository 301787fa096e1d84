"""The process and the disk: logging, progress, folders, temporary files; knows no exposure."""
