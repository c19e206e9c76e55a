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
    sealed_token TEXT
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
