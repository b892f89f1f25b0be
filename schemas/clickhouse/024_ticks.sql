-- ticks: up to when a rule has looked in a tenant for what time alone changes, and
-- all of that was judged. Who takes over the lease goes on from there. digest is of
-- what the rule asks: of another rule a row says nothing. One row a rule and tenant,
-- of which the highest ver counts.
-- Shards: the versions of a row are in one place.
CREATE TABLE IF NOT EXISTS {{table "ticks"}} {{on_cluster}}
(
    rule   LowCardinality(String),
    tenant LowCardinality(String),
    digest String,
    until  DateTime64(3, 'UTC'),
    ver    UInt64
)
ENGINE = {{engine "ReplacingMergeTree" "ver"}}
ORDER BY (rule, tenant)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1;

{{distributed "ticks" "sipHash64(rule, tenant)"}};
