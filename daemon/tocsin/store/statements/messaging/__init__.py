"""The SQL of messaging: see `messages` for the rules, `messagingtables` for the tables."""

from tocsin.store.statements.messaging.epoch import log_epoch
from tocsin.store.statements.messaging.histories import (
    find_message,
    forget_dedupes,
    greatest_message_id,
    history,
    next_message_key,
    prune_messages,
)
from tocsin.store.statements.messaging.logs import read_page, trim_logs
from tocsin.store.statements.messaging.mailrows import MailRows, mail_rows
from tocsin.store.statements.messaging.marks import mark
from tocsin.store.statements.messaging.posting import Delivered, find_repeat, find_repeats, post
from tocsin.store.statements.messaging.proofs import prove
from tocsin.store.statements.messaging.roomchanges import lapse_invitations
from tocsin.store.statements.messaging.rooms import (
    RoomRecord,
    next_room_key,
    read_room,
    renew_room,
    room_from,
    rooms_of,
)
from tocsin.store.statements.messaging.statuses import Raised
from tocsin.store.statements.messaging.subscribers import (
    correspondents,
    count_strangers,
    find_subscribers,
    next_subscriber_key,
    open_log,
)

__all__ = [
    "Delivered",
    "MailRows",
    "Raised",
    "RoomRecord",
    "correspondents",
    "count_strangers",
    "find_message",
    "find_repeat",
    "find_repeats",
    "find_subscribers",
    "forget_dedupes",
    "greatest_message_id",
    "history",
    "lapse_invitations",
    "log_epoch",
    "mail_rows",
    "mark",
    "next_message_key",
    "next_room_key",
    "next_subscriber_key",
    "open_log",
    "post",
    "prove",
    "prune_messages",
    "read_page",
    "read_room",
    "renew_room",
    "room_from",
    "rooms_of",
    "trim_logs",
]
