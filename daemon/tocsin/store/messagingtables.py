"""The tables of messaging (messaging.md, 1, 7, 9 and 10).

A subscriber's Log keeps the entries after `trimmed`, which is its end where none is left; those up
to `proven` have reached a client. An `entry` that is a letter has the key of its `message`
instead of a text: that is stored once. `notification` is the key of what tells of it by other
ways, so that receipts of the one count for the other. Keys of `entry` and `message` rise in the
order of commits: what is oldest stands first, and a message is no older than the entries before
those that refer to it.

`first` and `second` of a message are its Conversation. `addressee` has what became of it for each
recipient whose receipts its sender is told of; `peer` is the other side of the Conversation as
the recipient sees it, so that what he has not read is found by it. `correspondence` is when one
last wrote to another, and is there as long as a message is.

A `room` that is over is kept while messages of it are, for the receipts of these: its id is told
with them, and its key must not be given again. Keys of `member` and `invitation` rise in the order
of joining and inviting.
"""

MESSAGING_TABLES = """
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
