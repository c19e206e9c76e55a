"""The tables, and the checks made before a file is trusted.

A delivery's id is its notification's key shifted left by `LEG_BITS`, plus its leg: the legs of
one notification are neighbours, ids grow in the order of acceptance, and no index is needed to
go from one to the other.

`due_at` is set only for the first of the deliveries that share a channel and an order key; the
others behind it have NULL and get theirs when they come first. Work is found by `due_at`, so
order within a key holds by construction (delivery.md, order). All deliveries of a suspended
channel have NULL. `claimed` marks what a queue holds in memory; a mark found at the start was
left by a process that died. Legs of one notification that are for the same device share a number,
`device`; one of them that waits for the receipt of another is not due before `not_before` (see
`statements/escalation`). `size` is that of the notification's text: what a channel holds is
counted in indexes alone (see `statements/bounds`). Calls of the push gateway, and no other
notifications, are found by their order keys, to be withdrawn on all devices (PU-13).

`identity`, `submission` and `push` remember what was submitted (CH-114, CH-115, PU-18) by digests
of 63 bits, two of them together: `key`, which finds the row, and `proof`, which tells a stranger
with the same key. A long answer in `submission` is `packed`. A `push` counts while its delivery is
there, and then only with a `result`.

`removed` keeps channels whose device tokens are gone, as JSON rows, until they cannot be restored
any more; `tombstone` is until when the token counts as gone (see `statements/devices`). `memo` is
for little things that somebody has to know at the next start, by kind and name.

`attempt` is the delivery log. It is on the hot path of every webhook, so its only index is one
that grows at its end; whatever else it is asked for is found by reading it backwards, in bounded
slices (see `statements/deliverylog`).

With a master key `authorization`, `secret`, `previous` and `echoed` of a `channel`, the
`invite_token` of a room and the `value` of a `memo` are sealed, and `token`, of a `removed` one
too, is a digest, beside which `sealed_token` is the token itself (see `vault`). The row that
`removed` keeps is sealed as it was.

The counters of a `channel` from `reserved` on are about positions: see `delivery/position`. The
tables of messaging are in `messagingtables`.
"""

import os
from pathlib import Path

import apsw

from tocsin.model.errors import StartupError
from tocsin.store.messagingtables import MESSAGING_TABLES
from tocsin.store.migrations import STEPS, migrate
from tocsin.store.overhaul import Announce, nobody, overhaul

APPLICATION_ID = 0x746F6373  # "tocs"
VERSION = 6
MAGIC = b"SQLite format 3\0"
LEG_BITS = 16
MAX_LEGS = 1 << LEG_BITS
CHECKED_WHOLE_BELOW = 64 << 20

TABLES = """
CREATE TABLE channel(
    key INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    user TEXT NOT NULL,
    type TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    client_correlator TEXT NOT NULL,
    application_tag TEXT,
    creator TEXT,
    lifetime INTEGER,
    expires_at INTEGER,
    check_role TEXT,
    url TEXT,
    origin TEXT,
    authorization TEXT,
    secret TEXT,
    previous TEXT,
    rotated_until INTEGER,
    provider TEXT,
    app TEXT,
    token TEXT,
    registered_at INTEGER,
    max_notifications INTEGER,
    echoed TEXT,
    used_at INTEGER,
    failing_since INTEGER,
    state INTEGER NOT NULL,
    last_seq INTEGER NOT NULL,
    reserved INTEGER,
    left_cleanly INTEGER NOT NULL DEFAULT 0,
    settled_seq INTEGER NOT NULL DEFAULT 0,
    dropped INTEGER NOT NULL DEFAULT 0,
    missed INTEGER NOT NULL DEFAULT 0,
    missed_at INTEGER NOT NULL DEFAULT 0,
    sealed_token TEXT,
    held_until INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX channel_user ON channel(user);
CREATE INDEX channel_expiry ON channel(expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX channel_device ON channel(token, app, provider) WHERE token IS NOT NULL;
CREATE INDEX channel_use ON channel(type, used_at) WHERE used_at IS NOT NULL;
CREATE INDEX channel_unsigned ON channel(key) WHERE url IS NOT NULL AND secret IS NULL;

CREATE TABLE subscription(
    id TEXT PRIMARY KEY,
    user TEXT NOT NULL,
    service TEXT NOT NULL,
    channel INTEGER NOT NULL,
    destination TEXT,
    sender TEXT,
    listing TEXT,
    policy TEXT,
    expires_at INTEGER,
    created_at INTEGER NOT NULL,
    body BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX subscription_user ON subscription(user);
CREATE INDEX subscription_channel ON subscription(channel);
CREATE INDEX subscription_expiry ON subscription(expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE notification(
    key INTEGER PRIMARY KEY,
    id TEXT NOT NULL,
    user TEXT NOT NULL,
    service TEXT NOT NULL,
    root_key TEXT NOT NULL,
    body BLOB NOT NULL,
    priority INTEGER NOT NULL,
    accepted_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    order_key TEXT NOT NULL,
    collapse_key TEXT,
    destination TEXT,
    producer TEXT NOT NULL
);
CREATE INDEX notification_expiry ON notification(expires_at);
CREATE INDEX notification_call ON notification(order_key) WHERE root_key = 'NotifyIncomingCall';

CREATE TABLE delivery(
    id INTEGER PRIMARY KEY,
    channel INTEGER NOT NULL,
    type TEXT NOT NULL,
    priority INTEGER NOT NULL,
    size INTEGER NOT NULL,
    lane TEXT,
    order_key TEXT,
    collapse_key TEXT,
    due_at INTEGER,
    attempts INTEGER NOT NULL DEFAULT 0,
    unanswered INTEGER NOT NULL DEFAULT 0,
    claimed INTEGER,
    seq INTEGER,
    device INTEGER,
    not_before INTEGER
);
CREATE INDEX delivery_waiting ON delivery(channel, priority, id, size) WHERE lane IS NULL;
CREATE INDEX delivery_age ON delivery(channel, priority, id, size) WHERE lane IS NOT NULL;
CREATE INDEX delivery_written ON delivery(channel, seq) WHERE seq IS NOT NULL;
CREATE INDEX delivery_due ON delivery(lane, priority, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX delivery_claimed ON delivery(claimed) WHERE claimed IS NOT NULL;
CREATE INDEX delivery_collapse ON delivery(channel, collapse_key)
    WHERE collapse_key IS NOT NULL;
CREATE INDEX delivery_type ON delivery(type);
CREATE INDEX delivery_order ON delivery(channel, order_key, id) WHERE lane IS NOT NULL;
CREATE INDEX delivery_held ON delivery(channel, not_before) WHERE not_before IS NOT NULL;

CREATE TABLE dead_letter(
    delivery INTEGER PRIMARY KEY,
    channel TEXT NOT NULL,
    type TEXT NOT NULL,
    died_at INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    reason TEXT NOT NULL,
    status INTEGER,
    id TEXT NOT NULL,
    user TEXT NOT NULL,
    service TEXT NOT NULL,
    root_key TEXT NOT NULL,
    body BLOB NOT NULL,
    priority INTEGER NOT NULL,
    accepted_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    order_key TEXT NOT NULL,
    collapse_key TEXT,
    destination TEXT,
    producer TEXT NOT NULL
);
CREATE INDEX dead_letter_age ON dead_letter(died_at);
CREATE INDEX dead_letter_channel ON dead_letter(channel, died_at);
CREATE INDEX dead_letter_user ON dead_letter(user, died_at);
CREATE INDEX dead_letter_notification ON dead_letter(id, died_at);
CREATE INDEX dead_letter_type ON dead_letter(type);

CREATE TABLE attempt(
    key INTEGER PRIMARY KEY,
    delivery INTEGER NOT NULL,
    notification TEXT NOT NULL,
    user TEXT NOT NULL,
    channel TEXT NOT NULL,
    type TEXT NOT NULL,
    at INTEGER NOT NULL,
    number INTEGER NOT NULL,
    result TEXT NOT NULL,
    latency_ms INTEGER,
    status INTEGER,
    reason TEXT,
    excerpt BLOB
);
CREATE INDEX attempt_delivery ON attempt(delivery);

CREATE TABLE identity(
    key INTEGER PRIMARY KEY,
    proof INTEGER NOT NULL,
    subject INTEGER NOT NULL,
    channels INTEGER NOT NULL,
    at INTEGER NOT NULL
);
CREATE INDEX identity_age ON identity(at);

CREATE TABLE submission(
    key INTEGER PRIMARY KEY,
    proof INTEGER NOT NULL,
    content INTEGER NOT NULL,
    status INTEGER NOT NULL,
    body BLOB NOT NULL,
    notification TEXT,
    at INTEGER NOT NULL,
    packed INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX submission_age ON submission(at);

CREATE TABLE push(
    key INTEGER PRIMARY KEY,
    proof INTEGER NOT NULL,
    delivery INTEGER NOT NULL,
    result TEXT,
    at INTEGER NOT NULL
);
CREATE INDEX push_delivery ON push(delivery);
CREATE INDEX push_age ON push(at);

CREATE TABLE removed(
    key INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    provider TEXT NOT NULL,
    app TEXT NOT NULL,
    token TEXT NOT NULL,
    guarded INTEGER NOT NULL,
    tombstone INTEGER NOT NULL,
    channel TEXT NOT NULL,
    subscriptions TEXT NOT NULL,
    pushes TEXT NOT NULL
);
CREATE INDEX removed_age ON removed(at);
CREATE INDEX removed_device ON removed(token, app, provider);
CREATE INDEX removed_app ON removed(app, key);

CREATE TABLE memo(
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY(kind, name)
) WITHOUT ROWID;

CREATE TABLE probe(key INTEGER PRIMARY KEY, at INTEGER NOT NULL);
"""


def open_database(path: str, announce: Announce = nobody) -> apsw.Connection:
    """Open, check and, where it is new, create the store's file; `announce` is told before one of
    an older format is brought to this one.

    Raises `StartupError` with one line, leaving the file as it was, when it is not ours, is
    damaged, or cannot be written.
    """
    file = Path(path)
    if path != ":memory:":
        check_file(file)
    try:
        if path != ":memory:":
            # Channel secrets stand in it: nobody else's to read, whatever the umask.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        connection = apsw.Connection(path, statementcachesize=256)
        _prepare(connection, announce, fresh=connection.pragma("application_id") != APPLICATION_ID)
    except (apsw.Error, OSError) as error:
        raise StartupError(f"store {path}: cannot be opened: {error}") from error
    return connection


def _prepare(connection: apsw.Connection, announce: Announce, *, fresh: bool) -> None:
    connection.set_busy_timeout(5000)
    if fresh:
        # Before anything else is written, so that a file is either ours and whole, or empty.
        with connection:
            connection.execute(TABLES)
            connection.execute(MESSAGING_TABLES)
            connection.pragma("application_id", APPLICATION_ID)
            connection.pragma("user_version", VERSION)
    connection.pragma("journal_mode", "wal")
    connection.pragma("synchronous", "full")
    version = connection.pragma("user_version")
    if version != VERSION:
        with overhaul(connection.filename, "migrate", announce):
            migrate(connection, version, VERSION)
    connection.pragma("temp_store", "memory")
    connection.pragma("cache_size", -65536)
    connection.pragma("journal_size_limit", 64 << 20)


def check_file(file: Path) -> None:
    """Judge an existing file through a read-only connection, before anything may change it."""
    _check_folder(file.parent)
    if not file.exists() or file.stat().st_size == 0:
        return
    if not os.access(file, os.R_OK | os.W_OK):
        raise StartupError(f"store {file}: cannot be read and written by this user")
    try:
        connection = apsw.Connection(str(file), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            problem = _problem_in(connection, file)
        finally:
            connection.close()
    except apsw.Error as error:
        problem = f"is not a usable store: {error}"
    if problem:
        raise StartupError(f"store {file}: {problem}; the file was left untouched")


def _check_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StartupError(f"store folder {folder}: {error.strerror}") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise StartupError(f"store folder {folder}: not writable by this user")


def _problem_in(connection: apsw.Connection, file: Path) -> str | None:
    if connection.pragma("application_id") != APPLICATION_ID:
        return None if _is_empty(connection, file) else "is not a store of this daemon"
    version = connection.pragma("user_version")
    if version != VERSION and version not in STEPS:
        return f"has format {version}, this daemon reads format {VERSION} and older ones"
    if file.stat().st_size <= CHECKED_WHOLE_BELOW:
        verdict = connection.pragma("quick_check", 1)
        if verdict != "ok":
            return f"is damaged: {str(verdict).splitlines()[-1]}"
    return None


def _is_empty(connection: apsw.Connection, file: Path) -> bool:
    """A file that was made, and then the power went. SQLite takes any few bytes for empty."""
    with file.open("rb") as content:
        is_database = content.read(len(MAGIC)) == MAGIC
    return is_database and not connection.execute("SELECT count(*) FROM sqlite_schema").get
