CREATE TABLE feeds (
    -- SHA-256 of the token, in hexadecimal digits: the token itself is kept nowhere.
    token        TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    subscription TEXT COLLATE "C" NOT NULL REFERENCES subscriptions (uid) ON DELETE CASCADE,
    -- Seconds since 1970 in UTC.
    created      BIGINT NOT NULL,
    -- As Kubernetes calls whoever made it.
    created_by   TEXT COLLATE "C" NOT NULL,
    label        TEXT COLLATE "C" NOT NULL
);

CREATE INDEX feeds_by_subscription ON feeds (subscription, created);
