"""Where arrays are: in memory, in a file, in a scratch file; read on first use."""
