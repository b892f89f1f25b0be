-- deliveries: what an alert was (page, end, summary, digest), of which rule and
-- level, and where a channel was told of it in a summary alone: whose. Such a row is
-- no attempt. A row of before these columns has none of them.
{{range tables "deliveries"}}
ALTER TABLE {{.}} {{on_cluster}}
    ADD COLUMN IF NOT EXISTS kind LowCardinality(String),
    ADD COLUMN IF NOT EXISTS rule_id LowCardinality(String),
    ADD COLUMN IF NOT EXISTS level LowCardinality(String),
    ADD COLUMN IF NOT EXISTS summary String CODEC(ZSTD(1));
{{end}}
