"""Pure values: what the daemon talks about, without any I/O."""
