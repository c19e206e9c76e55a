"""Options of messaging that are about what is said, not how (messaging.md, 12 and 14)."""

import attrs

from tocsin.model.option import option
from tocsin.wire.messaging.limits import MessageLimits
from tocsin.wire.sockjs.frames import MESSAGE_BYTES

DAY = 86_400
REST_OF_MESSAGE = 4096


@attrs.frozen
class MessagingLimits(MessageLimits):
    """`[messaging.limits]`"""

    room_members: int = option(1000, "Members of a Room.", minimum=2, maximum=10_000)
    rooms_per_subscriber: int = option(500, "Rooms of a subscriber.", minimum=1)
    invitations: int = option(
        100, "Open invitations of a subscriber; the oldest lapses.", minimum=1
    )
    joins_per_minute: int = option(
        10, "Joins of a subscriber in a minute that find no Room.", minimum=1
    )
    strangers_per_day: int = option(
        1000, "Subscribers nobody knows that one may write to in a day.", minimum=0
    )
    rate: float = option(20, "Messages of a subscriber in a second.", minimum=0.1)
    burst: int = option(100, "Messages of a subscriber at once.", minimum=1)
    flood: float = option(
        200, "Messages in a second that close a connection that keeps at it for 10 s.", minimum=1
    )
    connections: int = option(
        10, "Connections of a subscriber; one more replaces the oldest.", minimum=1
    )
    outbox_messages: int = option(
        256, "Messages waiting for one connection; the rest waits in the Log.", minimum=1
    )
    outbox_bytes: int = option(
        262_144, "Bytes waiting for one connection; the rest waits in the Log.", minimum=1024
    )
    stalled: float = option(
        30, "Seconds without progress after which a connection is closed.", minimum=1
    )
    log_age: int = option(7 * DAY, "Seconds that a Log keeps an entry.", minimum=60)
    log_entries: int = option(5000, "Entries that a Log keeps.", minimum=1)
    history_age: int = option(30 * DAY, "Seconds that a history keeps a message.", minimum=60)
    dedupe_age: int = option(DAY, "Seconds that a dedupe-id is remembered.", minimum=60)
    invitation_age: int = option(30 * DAY, "Seconds that an invitation is open.", minimum=60)


def check_limits(limits: MessagingLimits) -> list[str]:
    """What is wrong with these as a whole, one line each."""
    problems = []
    if limits.history_age < limits.log_age:
        problems.append(
            "messaging.limits.history_age: must not be less than messaging.limits.log_age"
        )
    most = MESSAGE_BYTES - REST_OF_MESSAGE
    if limits.content_bytes + limits.attributes_bytes > most:
        problems.append(
            f"messaging.limits.content_bytes: must be, with attributes_bytes, at most {most:_}: "
            "a message is 1 MiB"
        )
    return problems
