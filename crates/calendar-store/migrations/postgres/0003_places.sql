-- Where these tables were when they were last opened, in one row: what was restored from a copy is elsewhere.
CREATE TABLE places (
    place TEXT COLLATE "C" NOT NULL PRIMARY KEY
);
