-- events: a part of its own file per column costs an insert 282 files, each made
-- and synced. An insert's part, and what a few of them are merged into, is one
-- file; a day's larger parts have a file per column as before, which readers of
-- few columns want.
ALTER TABLE {{table "events"}} {{on_cluster}} MODIFY SETTING min_bytes_for_wide_part = 67108864;
