"""Sans-I/O protocols: bytes, dicts and the time in, values out."""
