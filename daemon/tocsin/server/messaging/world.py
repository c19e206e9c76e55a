"""What all connections share."""

from collections.abc import Callable
from typing import Protocol

import attrs

from tocsin.messaging.link import Link
from tocsin.messaging.live import Live
from tocsin.messaging.presence import Presence
from tocsin.messaging.receipts import Receipts
from tocsin.messaging.register import Register
from tocsin.ops.metrics import Metrics
from tocsin.server.heartbeat import Ticking
from tocsin.server.messaging.admitted import Admitted
from tocsin.server.messaging.answer import Desk
from tocsin.server.messaging.rates import Rates
from tocsin.server.messaging.settings import MessagingSettings
from tocsin.store.messages import Messages


class Tokens(Protocol):
    """Watches the tokens of live connections (MS-9, MS-11)."""

    def begin(self, link: Link, admitted: Admitted) -> bool:
        """Have this ended when its token is no longer good. False: it is not any more."""

    def ended(self, link: Link, admitted: Admitted) -> None:
        """It has ended; no-op if it was not begun."""


@attrs.frozen
class World:
    """What connections are given of the daemon.

    `epoch` is that of all cursors (MS-60). `clock` is epoch milliseconds, `now` Trio's time;
    `schedule(one, at)` has `tick` called then (the wheel's `add`).
    """

    store: Messages
    register: Register
    live: Live
    presence: Presence
    receipts: Receipts
    desk: Desk
    tokens: Tokens
    rates: Rates
    settings: MessagingSettings
    metrics: Metrics
    epoch: str
    clock: Callable[[], int]
    now: Callable[[], float]
    schedule: Callable[[Ticking, float], None]
