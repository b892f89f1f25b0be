-- events: which granules may have rows that were stored lately, for whoever
-- follows what comes in. A late event lies among old ones, so no key leads to it.
-- Parts that are there get it in the background.
ALTER TABLE {{table "events"}} {{on_cluster}} ADD INDEX IF NOT EXISTS by_stored_at stored_at TYPE minmax GRANULARITY 1;
ALTER TABLE {{table "events"}} {{on_cluster}} MATERIALIZE INDEX by_stored_at SETTINGS mutations_sync = 0;
