"""Cursors: `<epoch>:<seq>`, a place in a subscriber's Log (messaging.md, MS-60 to MS-63).

Opaque to clients, who give back what they were given or nothing. What we would not have written
that way, another epoch and leading zeros included, is none of ours.
"""

import re
from typing import Final

OLDEST: Final = ""
"""What a client sends that has none: it wants everything that is kept (MS-62)."""

_WRITTEN: Final = re.compile(r"([0-9A-Za-z_-]{1,64}):(0|[1-9][0-9]{0,17})")


def cursor(epoch: str, seq: int) -> str:
    """What the client is given. ValueError: an epoch or number that could not be read again."""
    text = f"{epoch}:{seq}"
    if _WRITTEN.fullmatch(text) is None:
        raise ValueError(f"{text!r} is no cursor")
    return text


def seq_of(text: str, epoch: str) -> int | None:
    """The number in a cursor of this epoch; None for another epoch and for anything else.

    `OLDEST` is None, too: look for it first. Whether the Log reaches that far is not asked.
    """
    match = _WRITTEN.fullmatch(text)
    return int(match[2]) if match is not None and match[1] == epoch else None
