-- The registry: which tenants there are, and one status row for each, a hint by
-- which a tick of the scheduler knows whom to open. Everything else is in the
-- tenant's own file.
CREATE TABLE tenant (
    id         TEXT PRIMARY KEY,
    -- creating | ready | deleting: what a start finishes if it was cut short
    state      TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    next_due   INTEGER,
    outbox_due INTEGER,
    health     TEXT NOT NULL DEFAULT 'unknown'
) STRICT, WITHOUT ROWID;
