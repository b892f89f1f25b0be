-- provision_log: each call by which a provisioning command changed a tenant,
-- recorded before it was made, so that what a tenant's logs tell of a change can
-- be held against what operators meant to do. How it ended is a second row of the
-- same call with a higher ver; where there is none the command died, or knows no
-- more than that it began. Few rows.
-- ORDER BY time, because that is how it is read; id tells calls of one moment
-- apart. PARTITION BY month, so that whole partitions expire.
-- Shards: the rows of a call are in one place.
CREATE TABLE IF NOT EXISTS {{table "provision_log"}} {{on_cluster}}
(
    at        DateTime64(3, 'UTC'),
    id        String,
    domain    LowCardinality(String),
    client_id String,
    operator  LowCardinality(String),
    command   LowCardinality(String),
    method    LowCardinality(String),
    path      String,
    outcome   LowCardinality(String),
    made      String,
    ver       UInt64
)
ENGINE = {{engine "ReplacingMergeTree" "ver"}}
PARTITION BY toYYYYMM(at)
ORDER BY (at, id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1,
         ttl_only_drop_parts = 1;

{{distributed "provision_log" "sipHash64(id)"}};
