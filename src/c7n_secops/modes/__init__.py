"""The event modes: one a file, each with its class as ``MODE``, named after the file."""
