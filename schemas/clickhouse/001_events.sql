-- events: one row per log, normalized.
--
-- ORDER BY: everything in it is the same in every delivery of a log, so that
-- copies meet and FINAL keeps one; nothing derived may enter it. It serves the
-- question asked most: what did this client do in this time.
-- ver, deleted: the highest ver survives; deleted marks a row whose log was
-- normalized to another key.
-- PARTITION BY day: retention drops whole days, and FINAL never has to look
-- across days, because a copy has the time of its original.
-- Settings: MergeTree syncs nothing by default. These three make an insert's
-- answer mean "on disk"; at 25,000 rows an insert they cost nothing.
-- Codecs: times of neighbours differ little (Delta) and log ids share their
-- long prefix; what compresses by repetition alone takes ZSTD.
CREATE TABLE IF NOT EXISTS {{table "events"}} {{on_cluster}}
(
    tenant          LowCardinality(String),
    client_id       String                  CODEC(ZSTD(1)),
    time            DateTime64(3, 'UTC')    CODEC(Delta, ZSTD(1)),
    log_id          String                  CODEC(ZSTD(1)),
    ver             UInt64                  CODEC(ZSTD(1)),
    deleted         UInt8 DEFAULT 0         CODEC(ZSTD(1)),

    type            LowCardinality(String),
    outcome         LowCardinality(String),
    description     LowCardinality(String),
    identity        String                  CODEC(ZSTD(1)),
    identity_kind   LowCardinality(String),
    identity_reason LowCardinality(String),

    client_name     String                  CODEC(ZSTD(1)),
    user_id         String                  CODEC(ZSTD(1)),
    ip              String                  CODEC(ZSTD(1)),
    network         String                  CODEC(ZSTD(1)),
    user_agent      String                  CODEC(ZSTD(1)),
    audience        LowCardinality(String),
    scopes          Array(LowCardinality(String)),
    organization_id String                  CODEC(ZSTD(1)),
    hostname        LowCardinality(String),

    method          LowCardinality(String),
    path            String                  CODEC(ZSTD(1)),
    target          String                  CODEC(ZSTD(1)),

    source          Enum8('stream' = 1, 'pull' = 2, 'import' = 3, 'repair' = 4, 'custom' = 5),
    ingested_at     DateTime64(3, 'UTC')    CODEC(Delta, ZSTD(1)),
    stored_at       DateTime64(3, 'UTC') DEFAULT now64(3) CODEC(Delta, ZSTD(1)),
    raw             String                  CODEC(ZSTD(3)),
    raw_masked      UInt8                   CODEC(ZSTD(1)),

    CONSTRAINT log_id_is_there CHECK log_id != '' AND length(log_id) <= 64
)
ENGINE = {{engine "ReplacingMergeTree" "ver" "deleted"}}
PARTITION BY toYYYYMMDD(time)
ORDER BY (tenant, client_id, time, log_id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1,
         ttl_only_drop_parts = 1;
