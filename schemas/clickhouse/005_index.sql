-- Index tables: where to look in events for what its key does not serve. Each
-- row names a candidate (tenant, client_id, time), which the reader fetches
-- from events FINAL and checks again. So a row that a losing copy left behind
-- leads nowhere and needs no version, and a row costs a few bytes: neither ver
-- nor log_id is in it, the two columns that do not compress. They are written
-- before the events, so that an event which is there can be found.
-- max_compress_block_size is that of events, for the same reason.

-- Newest first, over all clients or by type.
-- by_type: a type that is rare is in few granules.
CREATE TABLE IF NOT EXISTS {{table "events_by_time"}} {{on_cluster}}
(
    tenant    LowCardinality(String),
    time      DateTime64(3, 'UTC')    CODEC(Delta, ZSTD(1)),
    client_id String                  CODEC(ZSTD(1)),
    type      LowCardinality(String),
    INDEX by_type type TYPE set(0) GRANULARITY 1
)
ENGINE = {{engine "ReplacingMergeTree"}}
PARTITION BY toYYYYMMDD(time)
ORDER BY (tenant, time, client_id, type)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1,
         max_compress_block_size = 65536, ttl_only_drop_parts = 1;

{{distributed "events_by_time" "sipHash64(tenant, client_id)"}};

-- By identity: a row for the identity of an event, unless that is the
-- application of its client_id, which the key of events serves; and one for its
-- user, who need not be its identity.
CREATE TABLE IF NOT EXISTS {{table "events_by_identity"}} {{on_cluster}}
(
    tenant    LowCardinality(String),
    identity  String                  CODEC(ZSTD(1)),
    time      DateTime64(3, 'UTC')    CODEC(Delta, ZSTD(1)),
    client_id String                  CODEC(ZSTD(1))
)
ENGINE = {{engine "ReplacingMergeTree"}}
PARTITION BY toYYYYMMDD(time)
ORDER BY (tenant, identity, time, client_id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1,
         max_compress_block_size = 65536, ttl_only_drop_parts = 1;

{{distributed "events_by_identity" "sipHash64(tenant, identity)"}};

-- By the id of a token (its jti): the event that issued it, and those that used
-- it. hash is sipHash64(jti): eight bytes instead of a second copy of 128 random
-- bits; that two ids may share one does not matter to a candidate.
-- PARTITION BY month: a look-up has no time, so it looks into every part.
CREATE TABLE IF NOT EXISTS {{table "tokens"}} {{on_cluster}}
(
    tenant    LowCardinality(String),
    hash      UInt64                  CODEC(Delta, ZSTD(1)),
    used      UInt8                   CODEC(ZSTD(1)),
    time      DateTime64(3, 'UTC')    CODEC(ZSTD(1)),
    client_id String                  CODEC(ZSTD(1))
)
ENGINE = {{engine "ReplacingMergeTree"}}
PARTITION BY toYYYYMM(time)
ORDER BY (tenant, hash, used, time, client_id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1,
         max_compress_block_size = 65536, ttl_only_drop_parts = 1;

{{distributed "tokens" "sipHash64(tenant, hash)"}};
