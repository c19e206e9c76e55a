"""Words of closed sets that both sides of the messaging face use (messaging.md, 5, 6, 8, 9)."""

import enum


class Availability(enum.StrEnum):
    """Section 8; nobody is `offline`."""

    INVISIBLE = "invisible"
    AVAILABLE = "available"
    DND = "dnd"
    BUSY = "busy"


class MessageStatus(enum.IntEnum):
    """What became of a message for one recipient; it only ever rises (MS-53)."""

    STORED = 0
    RECEIVED = 1
    DISPLAYED = 2
    READ = 3

    @property
    def word(self) -> str:
        """What it is called on the wire."""
        return self.name.lower()


class ComposingState(enum.StrEnum):
    """Whether somebody is writing (MS-44)."""

    ACTIVE = "active"
    IDLE = "idle"


class MembershipChange(enum.StrEnum):
    """What happened to one's own membership."""

    JOINED = "joined"
    LEFT = "left"
    UPDATED = "updated"


class SubscriberChange(enum.StrEnum):
    """What happened to somebody else."""

    JOINED = "joined"
    LEFT = "left"
    UPDATED = "updated"
    AVAILABILITY = "availability"


RECEIPTS = {
    status.word: status
    for status in (MessageStatus.RECEIVED, MessageStatus.DISPLAYED, MessageStatus.READ)
}
"""What a recipient may say of a message."""
