"""Why there is no connection, so that nothing was sent."""

from tocsin.model.errors import TocsinError


class NotConnectedError(TocsinError):
    """No connection, so nothing was sent; `reason` is a word of a closed set.

    `dns`, `blocked_address`, `connect`, `tls`, `timeout`, `lookups` or `sockets`.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class CannotResolveError(NotConnectedError):
    """The name has no address, as far as could be found out."""

    def __init__(self) -> None:
        super().__init__("dns")


class BlockedAddressError(NotConnectedError):
    """One of the addresses is forbidden, and so the name is."""

    def __init__(self) -> None:
        super().__init__("blocked_address")


class OwnLimitError(NotConnectedError):
    """We had no room for it: nobody was asked, and the far side is not to blame."""
