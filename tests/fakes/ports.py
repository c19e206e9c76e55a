"""Ports that stay free for whoever is to listen there, though he does not yet, or not just now."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def reserved_port() -> Iterator[int]:
    """A port of loopback, bound and not listening: connections to it are refused, and nobody who
    takes any free port gets it, not even for an outgoing connection. A server that says
    SO_REUSEADDR, as they all do, can listen there, and come back to it."""
    with kept_port(0) as port:
        yield port


@contextmanager
def kept_port(port: int) -> Iterator[int]:
    """The same for a port that somebody has listened on until now."""
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", port))
        yield int(held.getsockname()[1])
