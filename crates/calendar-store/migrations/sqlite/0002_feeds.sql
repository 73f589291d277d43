CREATE TABLE feeds (
    -- SHA-256 of the token, in hexadecimal digits: the token itself is kept nowhere.
    token        TEXT   NOT NULL PRIMARY KEY,
    subscription TEXT   NOT NULL REFERENCES subscriptions (uid) ON DELETE CASCADE,
    -- Seconds since 1970 in UTC.
    created      BIGINT NOT NULL,
    -- As Kubernetes calls whoever made it.
    created_by   TEXT   NOT NULL,
    label        TEXT   NOT NULL
) WITHOUT ROWID;

CREATE INDEX feeds_by_subscription ON feeds (subscription, created);
