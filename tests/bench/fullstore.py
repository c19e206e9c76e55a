"""A store with very much in it, written by the store's own code.

Half of the channels are those of devices, with nothing waiting; a tenth call one webhook, whose
secrets are the channel's own, and the others are those of clients who are not there. Of the
subscribers of messaging every two have written to each other.
"""

import base64
import contextlib
import itertools
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import apsw

from tocsin.model.channel import Channel, ChannelType, Device, Webhook
from tocsin.model.conversation import Subscriber, between
from tocsin.model.delivery import Delivery
from tocsin.model.notification import Notification, Priority
from tocsin.store import rows, statements
from tocsin.store.mail import Letter, Mail, Posted
from tocsin.store.schema import LEG_BITS, open_database
from tocsin.store.statements import messaging
from tocsin.wire.messaging.ids import MessageIds
from tocsin.wire.messaging.rendered import rendered

PER_CHANNEL = 10
DEVICES = 2
WEBHOOKS = 10
MESSAGES = 10
BATCH = 1000
WEEK = 7 * 86_400_000
TEXT = "x" * 120
DOMAIN = "acme"
MOST_ENTRIES = 5000

T = TypeVar("T")


def fill(path: Path, count: int, origin: str) -> None:
    """Make a store of so many pending deliveries, in a tenth as many channels, and of as many
    subscribers with `MESSAGES` entries each in their Logs."""
    now = time.time_ns() // 1_000_000
    with contextlib.closing(open_database(str(path))) as db, db:
        waiting = _fill_channels(db, count // PER_CHANNEL, now, origin)
        keys = itertools.count(1)
        everything = itertools.islice(itertools.cycle(waiting), count)
        for batch in _batches(everything):
            _insert(db, [_delivery(next(keys), channel, now) for channel in batch])
        for letters in _batches(_letters(count // PER_CHANNEL, now)):
            messaging.post(db, letters, [None] * len(letters))


def _batches(items: Iterable[T]) -> Iterator[list[T]]:
    rest = iter(items)
    while batch := list(itertools.islice(rest, BATCH)):
        yield batch


# -- channels and deliveries ---------------------------------------------------------------------


def _fill_channels(db: apsw.Connection, count: int, now: int, origin: str) -> list[Channel]:
    """Those for which something is to wait."""
    waiting = []
    for number in range(count):
        channel = _channel(number, now, origin)
        channel.key = number + 1
        statements.add_channel(db, rows.channel_row(channel))
        if channel.device is None:
            waiting.append(channel)
    return waiting


def _channel(number: int, now: int, origin: str) -> Channel:
    user = f"user{number}"
    if number % WEBHOOKS == 0:
        secret = base64.b64encode(b"%024d" % number).decode()
        hook = Webhook(f"{origin}/hook", origin, f"Bearer {number}", f"whsec_{secret}")
        id_ = Channel.new_id(ChannelType.WEBHOOKS)
        return Channel(id_, user, ChannelType.WEBHOOKS, now, "device", webhook=hook)
    if number % DEVICES == 0:
        device = Device("apns", "com.example.app", f"{number:064x}", now)
        id_ = Channel.new_id(ChannelType.OMAPUSH)
        return Channel(id_, user, ChannelType.OMAPUSH, now, "device", device=device)
    id_, until = Channel.new_id(ChannelType.WEBSOCKETS), now + 86_400_000
    return Channel(
        id_, user, ChannelType.WEBSOCKETS, now, "device", lifetime=86_400, expires_at=until
    )


def _insert(db: apsw.Connection, deliveries: list[Delivery]) -> None:
    notifications = [
        rows.notification_row(one.id >> LEG_BITS, one.notification) for one in deliveries
    ]
    waiting = [statements.delivery_row(one) for one in deliveries]
    statements.insert(db, [statements.Numbered(notifications, waiting)])


def _delivery(key: int, channel: Channel, now: int) -> Delivery:
    text = b'{"chatMessageNotification":{"id":"n%d","chatMessage":{"text":"%b"}}}'
    notification = Notification(
        f"n{key}",
        channel.user,
        "chat",
        "chatMessageNotification",
        text % (key, TEXT.encode()),
        Priority.NORMAL,
        now,
        now + WEEK,
        f"chat {key}",
    )
    return Delivery(key << LEG_BITS, notification, channel)


# -- messages ------------------------------------------------------------------------------------


def _letters(subscribers: int, now: int) -> Iterator[messaging.MailRows]:
    """What every two of them have written to each other, in turn."""
    ids, keys = MessageIds(lambda: now), itertools.count(1)
    people = [
        Subscriber(key, DOMAIN, f"user{key}", f"user{key}@{DOMAIN}", is_known=True)
        for key in range(1, subscribers + 1)
    ]
    for turn in range(MESSAGES):
        for pair in zip(people[::2], people[1::2], strict=False):
            mail = _mail(ids(), *(pair if turn % 2 else pair[::-1]), now)
            yield messaging.mail_rows(
                mail, message_key=next(keys), notifications={}, most_entries=MOST_ENTRIES
            )


def _mail(id_: str, sender: Subscriber, recipient: Subscriber, now: int) -> Mail:
    text = rendered(
        "message",
        {"message-id": id_, "sender-id": sender.id, "recipient-id": recipient.id, "content": TEXT},
    )
    letter = Letter(id_, between(sender, recipient), sender, now, text, addressees=[recipient])
    entries = [Posted(one.key, text, is_letter=True) for one in (sender, recipient)]
    return Mail(now, letter, entries, [sender, recipient])
