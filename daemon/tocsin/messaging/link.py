"""What a live connection is to the rest of messaging."""

from typing import Protocol

from tocsin.model.conversation import Subscriber
from tocsin.store.mail import Posted


class Link(Protocol):
    """One connection of a subscriber. Synchronous; nothing here may raise.

    `correlator` is the clientCorrelator of its device, None where it names none (MS-50). `since`
    is when it came, epoch milliseconds.
    """

    @property
    def subscriber(self) -> Subscriber: ...
    @property
    def correlator(self) -> str | None: ...
    @property
    def transport(self) -> str: ...
    @property
    def since(self) -> int: ...
    @property
    def position(self) -> int:
        """The number of the Log it has been sent everything up to."""

    def posted(self, entry: Posted) -> None:
        """There is a new entry in its Log: write it, or leave it in the Log (MS-48)."""

    def told(self, about: int, text: bytes) -> None:
        """State of the subscriber of this key has changed; while it cannot be written, a newer
        `text` about him takes the place of an older one (MS-43)."""

    def notify(self, text: bytes) -> None:
        """Tell it of something that is not in a Log, in its order; where that cannot be written
        now it waits, and goes where too much waits."""

    def hinted(self, text: bytes) -> None:
        """Something that is dropped where it cannot be written now (MS-44)."""

    def end(self, code: int, reason: str) -> None:
        """Close the connection."""
