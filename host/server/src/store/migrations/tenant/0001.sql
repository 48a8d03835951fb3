-- Ids are UUIDs as 16 bytes, Salesforce ids 18 characters, times microseconds
-- since 1970. Tables that a first import fills have as few indexes as will do.

-- Which tenant this file belongs to: a file under another name is refused.
CREATE TABLE tenant (
    id TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;

-- Salesforce orgs by a short number, since the org is part of many keys.
CREATE TABLE org (
    key   INTEGER PRIMARY KEY,
    sf_id TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE settings_history (
    version INTEGER PRIMARY KEY,
    toml    TEXT NOT NULL,
    at      INTEGER NOT NULL,
    actor   TEXT NOT NULL
) STRICT;

CREATE TABLE secret (
    name   TEXT PRIMARY KEY,
    sealed BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE connection (
    name         TEXT PRIMARY KEY,
    org          TEXT,
    instance_url TEXT
) STRICT, WITHOUT ROWID;

CREATE TABLE describe (
    connection TEXT NOT NULL,
    object     TEXT NOT NULL,
    fetched_at INTEGER NOT NULL,
    json       TEXT NOT NULL,
    PRIMARY KEY (connection, object)
) STRICT;

CREATE TABLE user (
    id                 BLOB PRIMARY KEY,
    email              TEXT NOT NULL,
    email_norm         TEXT NOT NULL,
    first_name         TEXT NOT NULL,
    last_name          TEXT NOT NULL,
    kind               TEXT NOT NULL,
    status             TEXT NOT NULL,
    organisation       TEXT NOT NULL,
    group_name         TEXT NOT NULL,
    may_register_deals INTEGER NOT NULL,
    external_id        TEXT,
    created_at         INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX user_email ON user (email_norm);
CREATE UNIQUE INDEX user_external_id ON user (external_id) WHERE external_id IS NOT NULL;

-- As one owner sees it. name_key is the normalised name while the account is not
-- tied to a Salesforce record, and null after: only then can it be adopted.
CREATE TABLE account (
    id         BLOB PRIMARY KEY,
    owner      BLOB NOT NULL,
    org        INTEGER,
    sf_id      TEXT,
    name       TEXT NOT NULL,
    name_key   TEXT,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
-- Salesforce ids first: they come in order, so new ones fall side by side.
CREATE UNIQUE INDEX account_sf_id ON account (sf_id, owner, org);
CREATE INDEX account_unlinked ON account (owner, name_key) WHERE sf_id IS NULL;

CREATE TABLE contact (
    id         BLOB PRIMARY KEY,
    owner      BLOB NOT NULL,
    account    BLOB,
    org        INTEGER,
    sf_id      TEXT,
    first_name TEXT NOT NULL,
    last_name  TEXT NOT NULL,
    email      TEXT NOT NULL,
    email_key  TEXT,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX contact_sf_id ON contact (sf_id, owner, org);
CREATE INDEX contact_unlinked ON contact (owner, email_key) WHERE sf_id IS NULL;

CREATE TABLE deal (
    id            BLOB PRIMARY KEY,
    owner         BLOB NOT NULL REFERENCES user (id),
    partner       BLOB,
    distributor   BLOB,
    account       BLOB REFERENCES account (id),
    contact       BLOB REFERENCES contact (id),
    status        TEXT NOT NULL,
    source        TEXT NOT NULL,
    -- The date people sort by: that of the import, or of the original in a backfill.
    created_at    INTEGER NOT NULL,
    created_run   BLOB,
    sf_created_at INTEGER,
    -- The last change of either side: what "newest wins" compares.
    updated_at    INTEGER NOT NULL,
    fields        TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX deal_created ON deal (created_at);

CREATE TABLE deal_change (
    key     INTEGER PRIMARY KEY,
    deal    BLOB NOT NULL,
    at      INTEGER NOT NULL,
    run     BLOB,
    actor   TEXT,
    changes TEXT NOT NULL
) STRICT;
CREATE INDEX deal_change_deal ON deal_change (deal, at);

-- base and base_source: the values both sides last agreed on, in each side's fields.
CREATE TABLE link (
    org         INTEGER NOT NULL REFERENCES org (key),
    sf_id       TEXT NOT NULL,
    deal        BLOB NOT NULL REFERENCES deal (id),
    owner       BLOB NOT NULL,
    object      TEXT NOT NULL,
    state       TEXT NOT NULL,
    modstamp    INTEGER NOT NULL,
    base        TEXT NOT NULL,
    base_source TEXT NOT NULL,
    PRIMARY KEY (org, sf_id)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX link_deal ON link (deal);
CREATE INDEX link_lead ON link (org, sf_id) WHERE object = 'Lead';

CREATE TABLE tombstone (
    org   INTEGER NOT NULL REFERENCES org (key),
    sf_id TEXT NOT NULL,
    by    TEXT NOT NULL,
    at    INTEGER NOT NULL,
    deal  BLOB,
    PRIMARY KEY (org, sf_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE set_aside (
    org          INTEGER NOT NULL REFERENCES org (key),
    sf_id        TEXT NOT NULL,
    kind         TEXT NOT NULL,
    name         TEXT NOT NULL,
    primary_code TEXT NOT NULL,
    reasons      TEXT NOT NULL,
    waits_on     TEXT NOT NULL,
    lane         TEXT NOT NULL,
    run          BLOB NOT NULL,
    first_seen   INTEGER NOT NULL,
    last_seen    INTEGER NOT NULL,
    attempts     INTEGER NOT NULL,
    due_at       INTEGER,
    PRIMARY KEY (org, sf_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX set_aside_due ON set_aside (due_at) WHERE due_at IS NOT NULL;

CREATE TABLE aside_wait (
    wait_key TEXT NOT NULL,
    org      INTEGER NOT NULL,
    sf_id    TEXT NOT NULL,
    PRIMARY KEY (wait_key, org, sf_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE log_entry (
    id         BLOB PRIMARY KEY,
    run        BLOB,
    lane       TEXT NOT NULL,
    level      INTEGER NOT NULL,
    code       TEXT NOT NULL,
    org        INTEGER,
    sf_id      TEXT,
    name       TEXT NOT NULL,
    deal       BLOB,
    message    TEXT NOT NULL,
    fix        TEXT NOT NULL,
    detail     TEXT,
    field      TEXT,
    state      TEXT NOT NULL,
    first_seen INTEGER NOT NULL,
    last_seen  INTEGER NOT NULL,
    seen_count INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX log_entry_open ON log_entry (org, sf_id, lane) WHERE state = 'open';
CREATE INDEX log_entry_record ON log_entry (sf_id) WHERE sf_id IS NOT NULL;

CREATE TABLE lane (
    name        TEXT PRIMARY KEY,
    integration TEXT NOT NULL,
    paused      TEXT,
    holder      TEXT,
    lease_until INTEGER NOT NULL DEFAULT 0,
    fence       INTEGER NOT NULL DEFAULT 0,
    last_run    BLOB,
    next_due    INTEGER,
    cursor      TEXT,
    -- Where a half-finished full run goes on.
    resume      TEXT,
    -- Deals created by this lane so far.
    sequence    INTEGER NOT NULL DEFAULT 0,
    -- What the connection spent of the day's API calls; JSON of the budget.
    spent       TEXT
) STRICT, WITHOUT ROWID;

CREATE TABLE run (
    id          BLOB PRIMARY KEY,
    lane        TEXT NOT NULL,
    kind        TEXT NOT NULL,
    trigger     TEXT NOT NULL,
    backfill    INTEGER NOT NULL,
    started     INTEGER NOT NULL,
    finished    INTEGER,
    state       TEXT NOT NULL,
    counts      TEXT NOT NULL,
    cursor_from TEXT,
    cursor_to   TEXT,
    api_calls   INTEGER NOT NULL DEFAULT 0,
    error       TEXT
) STRICT, WITHOUT ROWID;

-- The id of a mail about one deal is the deal's id, so that there is one at most;
-- the message id follows from kind, id and tenant.
CREATE TABLE outbox (
    id         BLOB NOT NULL,
    kind       TEXT NOT NULL,
    deal       BLOB,
    user       BLOB,
    payload    TEXT,
    created_at INTEGER NOT NULL,
    due_at     INTEGER NOT NULL,
    attempts   INTEGER NOT NULL,
    state      TEXT NOT NULL,
    sent_at    INTEGER,
    last_error TEXT,
    PRIMARY KEY (id, kind)
) STRICT, WITHOUT ROWID;
CREATE INDEX outbox_due ON outbox (due_at) WHERE state = 'pending';

-- Imported deals that one digest per owner will tell about when the run is done.
CREATE TABLE digest (
    lane TEXT NOT NULL,
    user BLOB NOT NULL,
    deal BLOB NOT NULL,
    PRIMARY KEY (lane, user, deal)
) STRICT, WITHOUT ROWID;
