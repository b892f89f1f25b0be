-- events: the autonomous system that an address belongs to, of .mmdb files.
--
-- A column that is added costs old parts nothing: they have its default until
-- they are merged. It goes to the table that has the rows first, and then to
-- the one that stands for all shards, which would else ask for what is not there.
-- Codecs: rows are sorted by client, and a client calls from few systems, so
-- the same number repeats for thousands of rows. Of the organizations a day's
-- part has some hundreds, as texts of 20 bytes: a dictionary and small numbers.
-- Neither is in a sorting key: another file would move the rows.
{{range tables "events"}}
ALTER TABLE {{.}} {{on_cluster}}
    ADD COLUMN IF NOT EXISTS asn UInt32 CODEC(ZSTD(1)) AFTER country,
    ADD COLUMN IF NOT EXISTS as_org LowCardinality(String) AFTER asn;
{{end}}
