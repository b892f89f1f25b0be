-- matches_scratch: matches that a backtest makes of history for selectors that
-- are not matched as events come in. A selector is named by a hash of what it
-- selects, so that rows of another run are right, too; all are dropped when one
-- begins and when it ends. It has the order and the columns of matches, since the
-- same queries read it.
-- Shards: as those of matches.
CREATE TABLE IF NOT EXISTS {{table "matches_scratch"}} {{on_cluster}}
(
    selector   LowCardinality(String),
    tenant     LowCardinality(String),
    bucket     Date                    CODEC(ZSTD(1)),
    key        String                  CODEC(ZSTD(1)),
    t          UInt64                  CODEC(Delta, ZSTD(1)),
    log_id     String                  CODEC(ZSTD(1)),
    value      String                  CODEC(ZSTD(1)),
    client_id  String                  CODEC(ZSTD(1)),
    ver        UInt64                  CODEC(ZSTD(1)),
    source     Enum8('stream' = 1, 'pull' = 2, 'import' = 3, 'repair' = 4, 'custom' = 5),
    generation UInt16                  CODEC(ZSTD(1))
)
ENGINE = {{engine "ReplacingMergeTree" "ver"}}
PARTITION BY toYYYYMM(bucket)
ORDER BY (selector, tenant, bucket, key, t, log_id, generation)
SETTINGS index_granularity = 1024,
         fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1;

{{distributed "matches_scratch" "sipHash64(tenant, key)"}};

-- backtests: the backtests that the API was asked for, how far they are and what
-- they found. A row is the whole job as JSON; of one id the highest ver counts.
-- Few rows, looked for by id.
-- Shards: the versions of a job are in one place.
CREATE TABLE IF NOT EXISTS {{table "backtests"}} {{on_cluster}}
(
    id         String,
    state      LowCardinality(String),
    job        String                  CODEC(ZSTD(3)),
    created_at DateTime64(3, 'UTC'),
    ver        UInt64
)
ENGINE = {{engine "ReplacingMergeTree" "ver"}}
PARTITION BY toYYYYMM(created_at)
ORDER BY (created_at, id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1,
         ttl_only_drop_parts = 1;

{{distributed "backtests" "sipHash64(id)"}};

-- selectors: since when what a selector selects is matched as it comes in, and
-- how much of what came before is. One row a selector, of which the highest ver
-- counts.
-- Shards: the versions of a selector are in one place.
CREATE TABLE IF NOT EXISTS {{table "selectors"}} {{on_cluster}}
(
    selector LowCardinality(String),
    state    LowCardinality(String),
    since    DateTime64(3, 'UTC'),
    reach    UInt64,
    done     UInt64,
    total    UInt64,
    ver      UInt64
)
ENGINE = {{engine "ReplacingMergeTree" "ver"}}
ORDER BY selector
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1;

{{distributed "selectors" "sipHash64(selector)"}};

-- expectations: what is normal for one identity, as it was declared. One row an
-- identity, of which the highest ver counts; expect is JSON, and empty where
-- nothing is declared any more.
-- Shards: the versions of an identity are in one place.
CREATE TABLE IF NOT EXISTS {{table "expectations"}} {{on_cluster}}
(
    tenant      LowCardinality(String),
    identity    String,
    expect      String                 CODEC(ZSTD(1)),
    declared_at DateTime64(3, 'UTC'),
    ver         UInt64
)
ENGINE = {{engine "ReplacingMergeTree" "ver"}}
ORDER BY (tenant, identity)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1;

{{distributed "expectations" "sipHash64(tenant, identity)"}};
