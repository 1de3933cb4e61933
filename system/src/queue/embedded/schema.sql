-- One sweep, its tasks and what became of them. Times are milliseconds since 1970, but for those of
-- leases and retries: these are since the machine was started.
CREATE TABLE IF NOT EXISTS clock (
    id            INTEGER PRIMARY KEY CHECK (id = 1),
    boot          TEXT NOT NULL               -- which start that was
) STRICT;
CREATE TABLE IF NOT EXISTS sweep (
    id            INTEGER PRIMARY KEY CHECK (id = 1),
    start_param   INTEGER NOT NULL,
    params        INTEGER NOT NULL,
    chunk_size    INTEGER NOT NULL,
    job_id        TEXT NOT NULL,
    created_at    TEXT NOT NULL,
    submitted     INTEGER NOT NULL DEFAULT 0,
    committed     INTEGER NOT NULL DEFAULT 0,
    dead          INTEGER NOT NULL DEFAULT 0,
    redelivered   INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE IF NOT EXISTS tasks (
    -- Never used again, not even after a reset: it fences the workers of a discarded sweep.
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    task          TEXT NOT NULL,              -- the message of the wire contract, as JSON
    submitted_ms  INTEGER NOT NULL DEFAULT (CAST(unixepoch('subsec') * 1000 AS INTEGER)),
    state         TEXT NOT NULL DEFAULT 'ready' CHECK (state IN ('ready', 'leased', 'done')),
    due_ms        INTEGER NOT NULL DEFAULT 0, -- not before this, while ready
    owner         TEXT,                       -- the worker, while leased
    nonce         TEXT,                       -- and which life of it
    delivery      INTEGER NOT NULL DEFAULT 0, -- deliveries so far
    lease_end_ms  INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE IF NOT EXISTS releases (         -- tasks that were given back: that killed nobody
    id            INTEGER PRIMARY KEY,
    times         INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS tasks_by_state ON tasks (state, due_ms, id);
CREATE TABLE IF NOT EXISTS results (
    seq           INTEGER PRIMARY KEY AUTOINCREMENT,
    chunk         INTEGER NOT NULL UNIQUE,    -- a chunk is committed once
    result        TEXT NOT NULL,              -- the message of the wire contract, as JSON
    at_ms         INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS dead_letters (
    seq           INTEGER PRIMARY KEY AUTOINCREMENT,
    chunk         INTEGER UNIQUE,             -- none where the task could not be read
    letter        TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS kernels (          -- what the sweep may be computed by
    kernel        TEXT PRIMARY KEY
) STRICT;
CREATE TABLE IF NOT EXISTS dropped (          -- dead chunks without a letter
    chunk         INTEGER PRIMARY KEY
) STRICT;
