"""HTTP/2 as a client that only posts (RFC 9113), without I/O."""
