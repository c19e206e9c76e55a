"""The SQL: one function per thing the store does, each run inside the writer's transaction.

Statements take lists as JSON, so that one statement touches many rows (see `writer`).
"""

from tocsin.store.statements.accounts import (
    add_channel,
    add_subscription,
    change_secret,
    expired_channels,
    extend_channels,
    grant_grace,
    load_account,
    remove_channel,
    resume_channel,
    subscription_bodies,
    suspend_channel,
)
from tocsin.store.statements.intake import delivery_row, insert, next_keys
from tocsin.store.statements.lanes import claim, lanes, next_due, release_claims, settle
from tocsin.store.statements.sockets import finish_polled, mark_written, waiting
from tocsin.store.statements.upkeep import (
    count_by_type,
    counts,
    expire_deliveries,
    oldest,
    probe,
    prune_dead_letters,
)

__all__ = [
    "add_channel",
    "add_subscription",
    "change_secret",
    "claim",
    "count_by_type",
    "counts",
    "delivery_row",
    "expire_deliveries",
    "expired_channels",
    "extend_channels",
    "finish_polled",
    "grant_grace",
    "insert",
    "lanes",
    "load_account",
    "mark_written",
    "next_due",
    "next_keys",
    "oldest",
    "probe",
    "prune_dead_letters",
    "release_claims",
    "remove_channel",
    "resume_channel",
    "settle",
    "subscription_bodies",
    "suspend_channel",
    "waiting",
]
