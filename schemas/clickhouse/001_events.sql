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
-- max_compress_block_size bounds what an insert of many days takes: the server
-- opens a buffer of that size for every column of every day, and with its
-- default of 1 MiB a flush over 30 days met the limit of 512 MiB per query.
-- Shards: copies of an event meet in one, because they share its key.
-- Codecs: times of neighbours differ little (Delta) and log ids share their
-- long prefix; what compresses by repetition alone takes ZSTD.
-- raw is the log without the values that the columns have; see
-- internal/clickhouse/raw.go for its form.
CREATE TABLE IF NOT EXISTS {{table "events"}} {{on_cluster}}
(
    tenant            LowCardinality(String),
    client_id         String                  CODEC(ZSTD(1)),
    time              DateTime64(3, 'UTC')    CODEC(Delta, ZSTD(1)),
    log_id            String                  CODEC(ZSTD(1)),
    ver               UInt64                  CODEC(ZSTD(1)),
    deleted           UInt8 DEFAULT 0         CODEC(ZSTD(1)),

    type              LowCardinality(String),
    outcome           LowCardinality(String),
    description       LowCardinality(String),
    cause             LowCardinality(String),
    identity          String                  CODEC(ZSTD(1)),
    identity_kind     LowCardinality(String),
    identity_reason   LowCardinality(String),

    client_name       String                  CODEC(ZSTD(1)),
    user_id           String                  CODEC(ZSTD(1)),
    user_name         String                  CODEC(ZSTD(1)),
    connection        LowCardinality(String),
    connection_id     LowCardinality(String),
    strategy          LowCardinality(String),
    strategy_type     LowCardinality(String),

    ip                String                  CODEC(ZSTD(1)),
    client_ip         String                  CODEC(ZSTD(1)),
    network           String                  CODEC(ZSTD(1)),
    country           LowCardinality(String),
    user_agent        String                  CODEC(ZSTD(1)),
    user_agent_class  LowCardinality(String),
    ja3               String                  CODEC(ZSTD(1)),
    ja4               String                  CODEC(ZSTD(1)),
    sdk_name          LowCardinality(String),
    sdk_version       LowCardinality(String),
    hostname          LowCardinality(String),

    audience          LowCardinality(String),
    scopes            Array(LowCardinality(String)),
    grant_type        LowCardinality(String),
    organization_id   String                  CODEC(ZSTD(1)),
    organization_name String                  CODEC(ZSTD(1)),
    token_id          String                  CODEC(ZSTD(1)),
    used_token_id     String                  CODEC(ZSTD(1)),
    session_id        String                  CODEC(ZSTD(1)),
    mtls_thumbprint   String                  CODEC(ZSTD(1)),
    agent_id          String                  CODEC(ZSTD(1)),
    external_agent_id String                  CODEC(ZSTD(1)),
    actor_subject     String                  CODEC(ZSTD(1)),
    correlation_id    String                  CODEC(ZSTD(1)),
    trace_id          String                  CODEC(ZSTD(1)),

    method            LowCardinality(String),
    path              String                  CODEC(ZSTD(1)),
    status            UInt16                  CODEC(ZSTD(1)),
    channel           LowCardinality(String),
    target            String                  CODEC(ZSTD(1)),

    quota_bucket      LowCardinality(String),
    quota_entity_type LowCardinality(String),
    quota_entity_id   String                  CODEC(ZSTD(1)),
    quota_size        UInt64                  CODEC(ZSTD(1)),
    quota_used        UInt64                  CODEC(ZSTD(1)),
    quota_percent     Float32                 CODEC(ZSTD(1)),

    selectors         Array(LowCardinality(String)),
    source            Enum8('stream' = 1, 'pull' = 2, 'import' = 3, 'repair' = 4, 'custom' = 5),
    ingested_at       DateTime64(3, 'UTC')    CODEC(Delta, ZSTD(1)),
    stored_at         DateTime64(3, 'UTC') DEFAULT now64(3) CODEC(Delta, ZSTD(1)),
    raw               String                  CODEC(ZSTD(3)),
    raw_masked        UInt8                   CODEC(ZSTD(1)),

    CONSTRAINT log_id_is_there CHECK log_id != '' AND length(log_id) <= 64
)
ENGINE = {{engine "ReplacingMergeTree" "ver" "deleted"}}
PARTITION BY toYYYYMMDD(time)
ORDER BY (tenant, client_id, time, log_id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1,
         max_compress_block_size = 65536, ttl_only_drop_parts = 1;

{{distributed "events" "sipHash64(tenant, log_id)"}};

{{parts "store_parts"}};
