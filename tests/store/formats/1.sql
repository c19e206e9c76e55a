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
    state INTEGER NOT NULL,
    last_seq INTEGER NOT NULL
);
CREATE INDEX channel_user ON channel(user);
CREATE INDEX channel_expiry ON channel(expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE subscription(
    id TEXT PRIMARY KEY,
    user TEXT NOT NULL,
    service TEXT NOT NULL,
    channel INTEGER NOT NULL,
    destination TEXT,
    sender TEXT,
    created_at INTEGER NOT NULL,
    body BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX subscription_user ON subscription(user);
CREATE INDEX subscription_channel ON subscription(channel);

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

CREATE TABLE delivery(
    id INTEGER PRIMARY KEY,
    channel INTEGER NOT NULL,
    type TEXT NOT NULL,
    priority INTEGER NOT NULL,
    lane TEXT,
    order_key TEXT,
    due_at INTEGER,
    attempts INTEGER NOT NULL DEFAULT 0,
    unanswered INTEGER NOT NULL DEFAULT 0,
    claimed INTEGER,
    seq INTEGER
);
CREATE INDEX delivery_waiting ON delivery(channel, priority, id) WHERE lane IS NULL;
CREATE INDEX delivery_written ON delivery(channel, seq) WHERE seq IS NOT NULL;
CREATE INDEX delivery_due ON delivery(lane, priority, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX delivery_claimed ON delivery(claimed) WHERE claimed IS NOT NULL;
CREATE INDEX delivery_type ON delivery(type);
CREATE INDEX delivery_order ON delivery(channel, order_key, id) WHERE lane IS NOT NULL;

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
CREATE INDEX dead_letter_type ON dead_letter(type);

CREATE TABLE probe(key INTEGER PRIMARY KEY, at INTEGER NOT NULL);
