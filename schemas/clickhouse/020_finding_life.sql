-- findings: what people are told of one, and why: paging is the verdict on its last
-- change. paged_at is when people were last told that it is open, 1970 where they
-- were not or where that was taken back; found_at is when it was found to hold. A
-- finding of before these columns has none of them.
{{range tables "findings"}}
ALTER TABLE {{.}} {{on_cluster}}
    ADD COLUMN IF NOT EXISTS paging LowCardinality(String),
    ADD COLUMN IF NOT EXISTS paging_reason String CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS paged_at DateTime64(3, 'UTC'),
    ADD COLUMN IF NOT EXISTS found_at DateTime64(3, 'UTC');
{{end}}

-- finding_changes: the verdict on each change.
{{range tables "finding_changes"}}
ALTER TABLE {{.}} {{on_cluster}}
    ADD COLUMN IF NOT EXISTS paging LowCardinality(String),
    ADD COLUMN IF NOT EXISTS paging_reason String CODEC(ZSTD(1));
{{end}}

-- finding_acts: what people did about findings, append-only. An act names its
-- finding by all columns that findings are sorted by, so that whoever reads acts
-- finds the findings at once. at is when it was done, by the API's clock; id tells
-- acts of one moment apart, and a repeat is the same row.
-- PARTITION BY the finding's month: an act expires with its finding.
-- Shards: an act lies where its finding does.
CREATE TABLE IF NOT EXISTS {{table "finding_acts"}} {{on_cluster}}
(
    tenant     LowCardinality(String),
    finding_id String,
    rule_id    LowCardinality(String),
    key        String,
    period     DateTime64(3, 'UTC'),
    at         DateTime64(3, 'UTC'),
    id         String,
    act        LowCardinality(String),
    who        String,
    reason     String CODEC(ZSTD(1))
)
ENGINE = {{engine "ReplacingMergeTree"}}
PARTITION BY toYYYYMM(period)
ORDER BY (tenant, finding_id, at, id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1,
         ttl_only_drop_parts = 1;

{{distributed "finding_acts" "sipHash64(tenant, key)"}};

-- silences: what people do not want to be paged for, from when until when. matchers
-- that are empty match all. Whoever ends one early writes it again with another end
-- and a higher ver. Few rows, kept for ever: they say why nobody was paged.
-- Shards: the versions of a silence are in one place.
CREATE TABLE IF NOT EXISTS {{table "silences"}} {{on_cluster}}
(
    id         String,
    tenant     LowCardinality(String),
    rule_id    LowCardinality(String),
    identity   String,
    key        String,
    level      LowCardinality(String),
    owner      String,
    made_by    String,
    reason     String CODEC(ZSTD(1)),
    made_at    DateTime64(3, 'UTC'),
    starts_at  DateTime64(3, 'UTC'),
    ends_at    DateTime64(3, 'UTC'),
    expired_by String,
    ver        UInt64
)
ENGINE = {{engine "ReplacingMergeTree" "ver"}}
ORDER BY id
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1;

{{distributed "silences" "sipHash64(id)"}};
