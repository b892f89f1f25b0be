-- touches: a durable queue. Each flush writes what it touched; each reader
-- marks the flushes it has done, by their id and never by a time, since two
-- processors' flushes end in any order. bucket is the UTC hour.
-- Two readers share the queue by selector: 'counts' is the recount's (key is a
-- client_id), all others are the correlator's. The recount folds what several
-- flushes touched into one flush of its own and marks them done; since and
-- touched are the times of the first and the last of those flushes. at is when
-- a mark was made, by which a query can tell the marks that it saw from later
-- ones.
-- Both tables are partitioned by the day of the flush (its id is a UUID
-- version 7, which carries it), so that what every reader has done is dropped
-- cheaply: its parts of touches first, then the marks of the day.
-- Shards: a flush is whole in one, and its marks beside it.
CREATE TABLE IF NOT EXISTS {{table "touches"}} {{on_cluster}}
(
    day      Date,
    flush    UUID,
    selector LowCardinality(String),
    tenant   LowCardinality(String),
    key      String                CODEC(ZSTD(1)),
    bucket   DateTime('UTC')       CODEC(Delta, ZSTD(1)),
    since    DateTime('UTC')       CODEC(Delta, ZSTD(1)),
    touched  DateTime('UTC')       CODEC(Delta, ZSTD(1))
)
ENGINE = {{engine "MergeTree"}}
PARTITION BY day
ORDER BY (flush, selector, tenant, key, bucket)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1;

{{distributed "touches" "sipHash64(flush)"}};

CREATE TABLE IF NOT EXISTS {{table "touches_done"}} {{on_cluster}}
(
    day    Date,
    reader LowCardinality(String),
    flush  UUID,
    at     DateTime64(6, 'UTC') DEFAULT now64(6)
)
ENGINE = {{engine "MergeTree"}}
PARTITION BY day
ORDER BY (reader, flush)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1;

{{distributed "touches_done" "sipHash64(flush)"}};
