"""How a socket's client shows that it lives, and how long it may not (channels.md, CH-54 to CH-57).

Decides only; its session does what is due. All times are seconds of one clock.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tocsin.server.handler import Link
    from tocsin.server.websocket import WsSettings

CLIENT_INTERVAL = 120.0
SHORTEST_PATIENCE = 2.0


class Pulse:
    """That of one connection. `unsettled_since`: since when its client has owed a receipt; that
    counts while `is_owing`."""

    __slots__ = (
        "_cut_at",
        "_interval",
        "_role",
        "_settings",
        "last_check",
        "last_ping",
        "unsettled_since",
    )

    def __init__(
        self, settings: "WsSettings", *, role: str | None, now: float, cut_at: float | None
    ) -> None:
        """`role` says who checks (`Channel.check_role`); at `cut_at` the client's token is over."""
        self._settings = settings
        self._role = role
        self._cut_at = cut_at
        self._interval = CLIENT_INTERVAL if role == "client" else settings.ping_interval
        self.last_ping = self.last_check = now
        self.unsettled_since = 0.0

    def adopt(self, interval: float | None) -> bool:
        """The client says how often it checks; whether something may be due sooner than before."""
        if interval is None or self._role != "client":
            return False
        is_shorter = interval < self._interval
        self._interval = interval
        return is_shorter

    def is_ping_due(self, now: float) -> bool:
        """It is to be asked for a Pong."""
        return now - self.last_ping >= self._settings.ping_interval

    def is_check_due(self, now: float) -> bool:
        """It is to be sent a connCheck."""
        return self._role == "server" and now - self.last_check >= self._settings.check_interval

    def is_over(self, now: float) -> bool:
        """Its token is."""
        return self._cut_at is not None and now >= self._cut_at

    def is_stalled(self, link: "Link", now: float) -> bool:
        """It has not read for too long."""
        return link.blocked_since is not None and now - link.blocked_since >= self._patience

    def is_silent(self, link: "Link", now: float, *, is_owing: bool) -> bool:
        """It has said nothing for too long, or not what it owes."""
        since = link.last_received
        if is_owing:
            since = min(since, self.unsettled_since)
        return now - since >= self._patience

    def next_due(self, link: "Link", *, is_owing: bool) -> float:
        """When something may be due next: a Ping, a check, or the end of patience."""
        due = [self.last_ping + self._settings.ping_interval, link.last_received + self._patience]
        if self._role == "server":
            due.append(self.last_check + self._settings.check_interval)
        if is_owing:
            due.append(self.unsettled_since + self._patience)
        if link.blocked_since is not None:
            due.append(link.blocked_since + self._patience)
        if self._cut_at is not None:
            due.append(self._cut_at)
        return min(due)

    @property
    def _patience(self) -> float:
        """Seconds of silence, or of a blocked write, after which a peer is dead (CH-57)."""
        return max(3 * self._interval, SHORTEST_PATIENCE)
