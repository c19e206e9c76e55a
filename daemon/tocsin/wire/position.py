"""Positions as clients write and read them: `<epoch>:<seq>` (channels.md, CH-50, CH-52, CH-67)."""

import re
from typing import Final

import attrs
import orjson

WRITTEN: Final = re.compile(r"([0-9A-Za-z_-]{1,64}):([0-9]{1,18})")


@attrs.frozen
class Claim:
    """The position a client says it has; `0:0` asks for one without claiming any."""

    epoch: str
    seq: int

    @property
    def is_question(self) -> bool:
        """Nothing is claimed."""
        return self.epoch == "0" and self.seq == 0


def parse_claim(text: str) -> Claim | None:
    """The value of `since`; None where it is malformed."""
    match = WRITTEN.fullmatch(text)
    return Claim(match[1], int(match[2])) if match is not None else None


def position(epoch: str, seq: int) -> str:
    """What a client gives back as `since`."""
    return f"{epoch}:{seq}"


def channel_resumed(epoch: str, seq: int, *, missed: int, recovered: bool) -> bytes:
    """The first message to a client that asked: it counts notifications from `seq` (CH-58)."""
    members = {"epoch": epoch, "seq": seq, "recovered": recovered, "missed": missed}
    return orjson.dumps({"channelResumed": members})
