-- Which addresses may come in, in the order in which the rules are asked.

CREATE TABLE ip_filter (
    place INTEGER PRIMARY KEY,
    data JSON NOT NULL
);
INSERT INTO changes (name, count) VALUES ('ip_filter', 0);
