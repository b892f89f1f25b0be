-- matches: one row per event that a selector selected. Whatever needs memory
-- is a query over this table, never over events.
--
-- t is Unix milliseconds, because window functions with RANGE refuse
-- DateTime64. bucket is the UTC day of t: days and not hours, so that a
-- look-back over a week reads eight ranges per key instead of 168; a query
-- must name it. The small granule is for look-ups of single keys.
-- Shards: all of a key's matches are in one, so that a correlation narrows
-- them down where they lie.
-- client_id and ver lead back to the event: a match is believed only while the
-- event's surviving row has the same ver. source tells imported history apart.
CREATE TABLE IF NOT EXISTS {{table "matches"}} {{on_cluster}}
(
    selector  LowCardinality(String),
    tenant    LowCardinality(String),
    bucket    Date                    CODEC(ZSTD(1)),
    key       String                  CODEC(ZSTD(1)),
    t         UInt64                  CODEC(Delta, ZSTD(1)),
    log_id    String                  CODEC(ZSTD(1)),
    value     String                  CODEC(ZSTD(1)),
    client_id String                  CODEC(ZSTD(1)),
    ver       UInt64                  CODEC(ZSTD(1)),
    source    Enum8('stream' = 1, 'pull' = 2, 'import' = 3, 'repair' = 4, 'custom' = 5)
)
ENGINE = {{engine "ReplacingMergeTree" "ver"}}
PARTITION BY toYYYYMM(bucket)
ORDER BY (selector, tenant, bucket, key, t, log_id)
SETTINGS index_granularity = 1024,
         fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1,
         ttl_only_drop_parts = 1;

{{distributed "matches" "sipHash64(tenant, key)"}};
