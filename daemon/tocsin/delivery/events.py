"""What an operator is told: as a log event, in a metric, and, if wanted, by a webhook (PU-56).

What concerns pushes goes to `push.feedback_url`, too, for whoever keeps the device tokens.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import attrs
import structlog

from tocsin.model.channel import Channel
from tocsin.model.option import option
from tocsin.ops.metrics import Metrics
from tocsin.wire.push.tokens import fingerprint
from tocsin.wire.webhook import secret_problem

if TYPE_CHECKING:
    from tocsin.delivery.eventhook import EventHook

OPERATOR = ""
FEEDBACK = "\x01feedback"
"""Users that no token can name."""
ALARMING = frozenset(
    {
        *("channel.suspended", "delivery.dead", "lane.blocked", "store.failing"),
        *("push.token.removed", "push.key.paused", "push.guard.tripped", "push.alarm"),
        "push.credential.failing",
    }
)
FED_BACK = frozenset(
    {
        *("push.token.removed", "push.outcome", "push.key.paused", "push.key.resumed"),
        *("push.guard.tripped", "push.guard.cleared", "push.credential.failing"),
    }
)
FREQUENT = frozenset({"push.outcome"})
WRONG = frozenset({"config.reload_failed"})

log = structlog.get_logger()


@attrs.frozen
class OperatorSettings:
    """`[operator]`"""

    webhook_url: str | None = option(
        None, "Where operator events are POSTed; not set, they are only logged and counted."
    )
    webhook_secret: str | None = option(
        None,
        "Signs them, instead of webhooks.signing_secret: whsec_ and base64 of 24-64 bytes.",
        check=secret_problem,
        secret=True,
    )


class Events:
    """Where everybody says what an operator may want to know."""

    def __init__(self, *, metrics: Metrics, clock: Callable[[], int]) -> None:
        self._metrics = metrics
        self._clock = clock
        self.log_anew()
        self._store_failing = False
        self.hook: EventHook | None = None
        self.feedback: EventHook | None = None

    def log_anew(self) -> None:
        """The level may be another: bound once, a call below it does nothing at all."""
        self._log = log.bind()

    def emit(self, name: str, **fields: object) -> None:
        """Tell an operator. `name` is one of `ops.metrics.EVENTS`; `fields` are fit for a log: ids
        and words, no bodies. A device `token` is for the feedback alone, others see its
        fingerprint (PU-43). Never waits, never raises."""
        shown = {name: value for name, value in fields.items() if name != "token"}
        if "token" in fields:
            shown["token_hash"] = fingerprint(str(fields["token"]))
        self._tell_log(name, shown)
        self._metrics.operator_events[name].inc()
        now = self._clock()
        if self.hook is not None and name not in FREQUENT:
            self.hook.offer(name, now, shown)
        if self.feedback is not None and name in FED_BACK:
            self.feedback.offer(name, now, fields)

    def _tell_log(self, name: str, fields: Mapping[str, object]) -> None:
        if name in FREQUENT:
            self._log.debug(name, **fields)
        elif name in WRONG:
            self._log.error(name, **fields)
        elif name in ALARMING:
            log.warning(name, **fields)
        else:
            log.info(name, **fields)

    def note_store(self, failing: str | None) -> None:
        """Tell whether the store fails, when that has changed."""
        if (failing is not None) is self._store_failing:
            return
        self._store_failing = failing is not None
        if failing is not None:
            self.emit("store.failing", reason=failing)
        else:
            self.emit("store.working")

    def note_channel(self, channel: Channel) -> None:
        """Tell that a channel was suspended or resumed."""
        name = "channel.suspended" if channel.state else "channel.resumed"
        self.emit(
            name,
            channel_id=channel.id,
            user=channel.user,
            channel_type=channel.type.value,
            lane=channel.lane,
        )
