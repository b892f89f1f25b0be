-- versions: which copy of an event survives, for whoever reads matches: a match
-- is believed only while the surviving copy is of its ver. events says it too,
-- but a client's events of a month lie there in thirty days among all others': of
-- 10,000 clients a look-back at a hundred of them read every row.
-- Here they are neighbours.
-- ver, deleted: as in events. Rows are written behind the events, so that none
-- speaks of a copy that is not there, and before the matches.
-- PARTITION BY month and the small granule: a look-up is of few clients and many
-- days. FINAL never looks across months: a copy has the time of its original.
CREATE TABLE IF NOT EXISTS {{table "versions"}} {{on_cluster}}
(
    tenant    LowCardinality(String),
    client_id String                  CODEC(ZSTD(1)),
    time      DateTime64(3, 'UTC')    CODEC(Delta, ZSTD(1)),
    log_id    String                  CODEC(ZSTD(1)),
    ver       UInt64                  CODEC(ZSTD(1)),
    deleted   UInt8 DEFAULT 0         CODEC(ZSTD(1))
)
ENGINE = {{engine "ReplacingMergeTree" "ver" "deleted"}}
PARTITION BY toYYYYMM(time)
ORDER BY (tenant, client_id, time, log_id)
SETTINGS index_granularity = 1024,
         fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1,
         max_compress_block_size = 65536, ttl_only_drop_parts = 1;

{{distributed "versions" "sipHash64(tenant, log_id)"}};

INSERT INTO versions (tenant, client_id, time, log_id, ver, deleted)
SELECT tenant, client_id, time, log_id, ver, deleted FROM events;
