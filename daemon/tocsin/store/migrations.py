"""From an older format of the store's file to this one, a step for each format.

A step runs in one transaction with all others that are due and leaves what `schema.TABLES` would
have made; a file that could not be brought here whole is left as it was.
"""

from collections.abc import Callable, Mapping

import apsw

RESOURCE = b'"resourceURL":"'
SERVICE_PATHS = (b"/smsmessaging/v1/", b"/chat/v1/")

TO_2 = """
ALTER TABLE channel ADD COLUMN previous TEXT;
ALTER TABLE channel ADD COLUMN rotated_until INTEGER;
ALTER TABLE channel ADD COLUMN provider TEXT;
ALTER TABLE channel ADD COLUMN app TEXT;
ALTER TABLE channel ADD COLUMN token TEXT;
ALTER TABLE channel ADD COLUMN registered_at INTEGER;
ALTER TABLE channel ADD COLUMN max_notifications INTEGER;
ALTER TABLE channel ADD COLUMN echoed TEXT;
ALTER TABLE channel ADD COLUMN used_at INTEGER;
ALTER TABLE channel ADD COLUMN failing_since INTEGER;
ALTER TABLE channel ADD COLUMN reserved INTEGER;
ALTER TABLE channel ADD COLUMN left_cleanly INTEGER NOT NULL DEFAULT 0;
ALTER TABLE channel ADD COLUMN settled_seq INTEGER NOT NULL DEFAULT 0;
ALTER TABLE channel ADD COLUMN dropped INTEGER NOT NULL DEFAULT 0;
ALTER TABLE channel ADD COLUMN missed INTEGER NOT NULL DEFAULT 0;
ALTER TABLE channel ADD COLUMN missed_at INTEGER NOT NULL DEFAULT 0;
UPDATE channel SET used_at = created_at WHERE url IS NOT NULL;
CREATE INDEX channel_device ON channel(token, app, provider) WHERE token IS NOT NULL;
CREATE INDEX channel_use ON channel(used_at) WHERE used_at IS NOT NULL;
CREATE INDEX channel_unsigned ON channel(key) WHERE url IS NOT NULL AND secret IS NULL;

ALTER TABLE subscription ADD COLUMN listing TEXT;
ALTER TABLE subscription ADD COLUMN policy TEXT;
ALTER TABLE subscription ADD COLUMN expires_at INTEGER;
CREATE INDEX subscription_expiry ON subscription(expires_at) WHERE expires_at IS NOT NULL;

ALTER TABLE delivery ADD COLUMN size INTEGER NOT NULL DEFAULT 0;
ALTER TABLE delivery ADD COLUMN collapse_key TEXT;
ALTER TABLE delivery ADD COLUMN device INTEGER;
ALTER TABLE delivery ADD COLUMN not_before INTEGER;
UPDATE delivery SET size = length(n.body), collapse_key = n.collapse_key
    FROM notification AS n WHERE n.key = delivery.id >> 16;
DROP INDEX delivery_waiting;
CREATE INDEX delivery_waiting ON delivery(channel, priority, id, size) WHERE lane IS NULL;
CREATE INDEX delivery_age ON delivery(channel, priority, id, size) WHERE lane IS NOT NULL;
CREATE INDEX delivery_collapse ON delivery(channel, collapse_key)
    WHERE collapse_key IS NOT NULL;
CREATE INDEX delivery_held ON delivery(channel, not_before) WHERE not_before IS NOT NULL;

CREATE INDEX dead_letter_channel ON dead_letter(channel, died_at);
CREATE INDEX dead_letter_user ON dead_letter(user, died_at);
CREATE INDEX dead_letter_notification ON dead_letter(id, died_at);

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
    at INTEGER NOT NULL
);
CREATE INDEX submission_age ON submission(at);
"""

TO_3 = """
CREATE INDEX notification_call ON notification(order_key) WHERE root_key = 'NotifyIncomingCall';
DROP INDEX channel_use;
CREATE INDEX channel_use ON channel(type, used_at) WHERE used_at IS NOT NULL;
ALTER TABLE submission ADD COLUMN packed INTEGER NOT NULL DEFAULT 0;

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
"""

TO_4 = """
CREATE TABLE subscriber(
    key INTEGER PRIMARY KEY,
    domain TEXT NOT NULL,
    id TEXT NOT NULL,
    known INTEGER NOT NULL,
    trimmed INTEGER NOT NULL DEFAULT 0,
    proven INTEGER NOT NULL DEFAULT 0,
    UNIQUE(domain, id)
);

CREATE TABLE entry(
    key INTEGER PRIMARY KEY,
    subscriber INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    type TEXT,
    body BLOB,
    message INTEGER,
    notification INTEGER,
    at INTEGER NOT NULL,
    UNIQUE(subscriber, seq)
);
CREATE INDEX entry_message ON entry(message, subscriber) WHERE message IS NOT NULL;
CREATE INDEX entry_notification ON entry(notification) WHERE notification IS NOT NULL;

CREATE TABLE message(
    key INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    first INTEGER NOT NULL,
    second INTEGER NOT NULL,
    sender INTEGER NOT NULL,
    at INTEGER NOT NULL,
    type TEXT NOT NULL,
    body BLOB NOT NULL,
    dedupe_id TEXT
);
CREATE INDEX message_conversation ON message(first, second, id);

CREATE TABLE addressee(
    message INTEGER NOT NULL,
    recipient INTEGER NOT NULL,
    peer INTEGER NOT NULL,
    status INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY(message, recipient)
) WITHOUT ROWID;
CREATE INDEX addressee_open ON addressee(recipient, peer, status, message) WHERE status < 3;

CREATE TABLE correspondence(
    sender INTEGER NOT NULL,
    recipient INTEGER NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY(sender, recipient)
) WITHOUT ROWID;

CREATE TABLE dedupe(
    sender INTEGER NOT NULL,
    id TEXT NOT NULL,
    message TEXT NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY(sender, id)
) WITHOUT ROWID;
CREATE INDEX dedupe_age ON dedupe(at);

CREATE TABLE stranger(
    sender INTEGER NOT NULL,
    recipient INTEGER NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY(sender, recipient)
) WITHOUT ROWID;
CREATE INDEX stranger_age ON stranger(at);

CREATE TABLE room(
    key INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    domain TEXT NOT NULL,
    name TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    invite_token TEXT,
    attributes BLOB NOT NULL,
    over INTEGER NOT NULL DEFAULT 0
);

CREATE TABLE member(
    key INTEGER PRIMARY KEY,
    room INTEGER NOT NULL,
    subscriber INTEGER NOT NULL,
    administrator INTEGER NOT NULL,
    joined_at INTEGER NOT NULL,
    joined_after TEXT NOT NULL,
    UNIQUE(room, subscriber)
);
CREATE INDEX member_subscriber ON member(subscriber);

CREATE TABLE invitation(
    key INTEGER PRIMARY KEY,
    room INTEGER NOT NULL,
    subscriber INTEGER NOT NULL,
    sender INTEGER NOT NULL,
    until INTEGER NOT NULL,
    UNIQUE(room, subscriber)
);
CREATE INDEX invitation_subscriber ON invitation(subscriber);
CREATE INDEX invitation_until ON invitation(until);
"""

TO_5 = """
ALTER TABLE channel ADD COLUMN sealed_token TEXT;
UPDATE removed SET channel = json_insert(channel, '$[#]', NULL);
"""

TO_6 = """
ALTER TABLE channel ADD COLUMN held_until INTEGER NOT NULL DEFAULT 0;
UPDATE removed SET channel = json_insert(channel, '$[#]', 0);
"""


def _to_2(db: apsw.Connection) -> None:
    """Positions, devices, repeats, the delivery log; subscriptions without their prefix."""
    db.execute(TO_2)
    for id_, body in list(db.execute("SELECT id, body FROM subscription")):
        db.execute("UPDATE subscription SET body = ? WHERE id = ?", (_without_prefix(body), id_))


def _without_prefix(body: bytes) -> bytes:
    """A subscription's text with its path only, which each dialect completes."""
    start = body.rindex(RESOURCE) + len(RESOURCE)
    found = [at for path in SERVICE_PATHS if (at := body.find(path, start)) >= 0]
    return body[:start] + body[min(found, default=start) :]


def _to_3(db: apsw.Connection) -> None:
    """Gateway pushes and their repeats, what was removed with its token, little memories."""
    db.execute(TO_3)


def _to_4(db: apsw.Connection) -> None:
    """Messaging: subscribers, their Logs and Rooms."""
    db.execute(TO_4)


def _to_5(db: apsw.Connection) -> None:
    """A place for sealed device tokens, in the rows of removed channels, too."""
    db.execute(TO_5)


def _to_6(db: apsw.Connection) -> None:
    """Until when a receiver wants to be left alone, also of removed channels."""
    db.execute(TO_6)


STEPS: Mapping[int, Callable[[apsw.Connection], None]] = {
    1: _to_2,
    2: _to_3,
    3: _to_4,
    4: _to_5,
    5: _to_6,
}
"""By the format a step begins with."""


def migrate(db: apsw.Connection, version: int, target: int) -> None:
    """Bring a file of format `version` to `target`; all or nothing."""
    with db:
        for step in range(version, target):
            STEPS[step](db)
        db.pragma("user_version", target)
