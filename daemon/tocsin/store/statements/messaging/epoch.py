"""Which life of the Logs this is (messaging.md, MS-60)."""

import secrets

from tocsin.store.statements.memos import recall, remember
from tocsin.store.statements.sql import Database

MEMO = "messaging"
NAME = "epoch"
BYTES = 6


def log_epoch(db: Database) -> str:
    """The word for it, made when it is first asked for: another file is another life, in which
    the same number would mean something else."""
    known = recall(db, MEMO).get(NAME)
    if known is None:
        known = secrets.token_urlsafe(BYTES).encode()
        with db:
            remember(db, MEMO, {NAME: known})
    return known.decode()


def forget_epoch(db: Database) -> None:
    """The next time it is asked for, another life begins."""
    remember(db, MEMO, {NAME: None})
