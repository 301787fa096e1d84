"""Where arrays lie: in memory, in a file, in a scratch file; read when they are asked for."""
