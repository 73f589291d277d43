-- Times are seconds since 1970 in UTC; an all-day event counts from midnight to midnight in UTC.

CREATE TABLE subscriptions (
    uid         TEXT   NOT NULL PRIMARY KEY,
    namespace   TEXT   NOT NULL,
    name        TEXT   NOT NULL,
    -- Names this state of the events; a commit names the one it was computed from.
    head        TEXT   NOT NULL,
    -- Of the row: a sequence of another incarnation is of no use.
    incarnation TEXT   NOT NULL,
    -- Of the last change.
    sequence    BIGINT NOT NULL,
    -- Deletions up to this sequence are no longer told.
    pruned      BIGINT NOT NULL,
    events      BIGINT NOT NULL,
    -- Whether it has outlived its subscription.
    released    BIGINT NOT NULL,
    -- The writer's.
    state       TEXT   NOT NULL,
    UNIQUE (namespace, name)
) WITHOUT ROWID;

CREATE TABLE events (
    subscription TEXT   NOT NULL REFERENCES subscriptions (uid) ON DELETE CASCADE,
    id           TEXT   NOT NULL,
    starts       BIGINT NOT NULL,
    ends         BIGINT NOT NULL,
    -- Of its last change.
    sequence     BIGINT NOT NULL,
    body         TEXT   NOT NULL,
    PRIMARY KEY (subscription, id)
) WITHOUT ROWID;

CREATE INDEX events_by_start ON events (subscription, starts, id);
CREATE UNIQUE INDEX events_by_sequence ON events (subscription, sequence);

CREATE TABLE tombstones (
    subscription TEXT   NOT NULL REFERENCES subscriptions (uid) ON DELETE CASCADE,
    id           TEXT   NOT NULL,
    sequence     BIGINT NOT NULL,
    deleted      BIGINT NOT NULL,
    PRIMARY KEY (subscription, id)
) WITHOUT ROWID;

CREATE UNIQUE INDEX tombstones_by_sequence ON tombstones (subscription, sequence);
CREATE INDEX tombstones_by_age ON tombstones (deleted);
