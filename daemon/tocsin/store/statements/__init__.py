"""The SQL: one function per thing the store does, each run inside the writer's transaction.

Statements take lists as JSON, so that one statement touches many rows (see `writer`).
"""

from tocsin.store.statements.accounts import (
    add_channel,
    add_subscription,
    change_channel,
    count_unsigned,
    expired_channels,
    expired_subscriptions,
    extend_channels,
    find_device,
    grant_grace,
    load_account,
    remove_channel,
    remove_subscription,
    renew_subscription,
    resume_channel,
    subscription_bodies,
    suspend_channel,
    unused_channels,
)
from tocsin.store.statements.bounds import Aside, holdings
from tocsin.store.statements.deadletters import (
    dead_letters,
    prune_dead_letters,
    purge_dead_letters,
)
from tocsin.store.statements.deliverylog import find_pending, prune_attempts, read_log
from tocsin.store.statements.devices import (
    drop_records,
    remove_devices,
    removed_devices,
    restore_devices,
    tombstones,
)
from tocsin.store.statements.escalation import escalate, held_rows
from tocsin.store.statements.intake import Inserted, Numbered, delivery_row, insert, next_keys
from tocsin.store.statements.lanes import claim, hasten, lanes, release_claims, settle
from tocsin.store.statements.memos import recall, remember
from tocsin.store.statements.overview import all_channels, lane_backlogs, owners
from tocsin.store.statements.positions import read_position, resume, settle_upto
from tocsin.store.statements.sockets import (
    Receipted,
    finish_polled,
    mark_left,
    mark_written,
    waiting,
)
from tocsin.store.statements.submissions import find_submission, forget, forget_submission
from tocsin.store.statements.takeovers import take_over
from tocsin.store.statements.upkeep import (
    count_by_type,
    counts,
    expire_deliveries,
    oldest,
    probe,
)
from tocsin.store.statements.withdrawals import find_calls

__all__ = [
    "Aside",
    "Inserted",
    "Numbered",
    "Receipted",
    "add_channel",
    "add_subscription",
    "all_channels",
    "change_channel",
    "claim",
    "count_by_type",
    "count_unsigned",
    "counts",
    "dead_letters",
    "delivery_row",
    "drop_records",
    "escalate",
    "expire_deliveries",
    "expired_channels",
    "expired_subscriptions",
    "extend_channels",
    "find_calls",
    "find_device",
    "find_pending",
    "find_submission",
    "finish_polled",
    "forget",
    "forget_submission",
    "grant_grace",
    "hasten",
    "held_rows",
    "holdings",
    "insert",
    "lane_backlogs",
    "lanes",
    "load_account",
    "mark_left",
    "mark_written",
    "next_keys",
    "oldest",
    "owners",
    "probe",
    "prune_attempts",
    "prune_dead_letters",
    "purge_dead_letters",
    "read_log",
    "read_position",
    "recall",
    "release_claims",
    "remember",
    "remove_channel",
    "remove_devices",
    "remove_subscription",
    "removed_devices",
    "renew_subscription",
    "restore_devices",
    "resume",
    "resume_channel",
    "settle",
    "settle_upto",
    "subscription_bodies",
    "suspend_channel",
    "take_over",
    "tombstones",
    "unused_channels",
    "waiting",
]
