"""Header blocks (RFC 7541): requests as literals that touch no table, replies decoded by hpack."""

from collections.abc import Iterable


def encode(pairs: Iterable[tuple[bytes, bytes]]) -> bytes:
    """A block of lower-case names and values; blocks may be joined, pseudo-headers first.

    Nothing is put into a table, so a block is good for any connection at any time. `:path` and
    `authorization`, which carry tokens, are marked never to be put into one on the way.
    """
    raise NotImplementedError
