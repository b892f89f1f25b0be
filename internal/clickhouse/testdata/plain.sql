CREATE DATABASE IF NOT EXISTS m2mwatch;

CREATE TABLE IF NOT EXISTS schema_migrations 
(
    name       String,
    checksum   String,
    applied_at DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = ReplacingMergeTree
ORDER BY (name, checksum)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1;

CREATE TABLE IF NOT EXISTS events 
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
ENGINE = ReplacingMergeTree(ver, deleted)
PARTITION BY toYYYYMMDD(time)
ORDER BY (tenant, client_id, time, log_id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1,
         max_compress_block_size = 65536, ttl_only_drop_parts = 1;

CREATE TABLE IF NOT EXISTS matches 
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
ENGINE = ReplacingMergeTree(ver)
PARTITION BY toYYYYMM(bucket)
ORDER BY (selector, tenant, bucket, key, t, log_id)
SETTINGS index_granularity = 1024,
         fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1,
         ttl_only_drop_parts = 1;

CREATE TABLE IF NOT EXISTS touches 
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
ENGINE = MergeTree
PARTITION BY day
ORDER BY (flush, selector, tenant, key, bucket)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1;

CREATE TABLE IF NOT EXISTS touches_done 
(
    day    Date,
    reader LowCardinality(String),
    flush  UUID,
    at     DateTime64(6, 'UTC') DEFAULT now64(6)
)
ENGINE = MergeTree
PARTITION BY day
ORDER BY (reader, flush)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1;

CREATE TABLE IF NOT EXISTS findings 
(
    id       String,
    rule_id  LowCardinality(String),
    title    String,
    tenant   LowCardinality(String),
    key      String,
    identity String,
    level    LowCardinality(String),
    state    LowCardinality(String),
    first    DateTime64(3, 'UTC'),
    last     DateTime64(3, 'UTC'),
    count    UInt64,
    evidence String CODEC(ZSTD(3)),
    period   DateTime64(3, 'UTC'),
    changes  UInt32,
    source   Enum8('stream' = 1, 'pull' = 2, 'import' = 3, 'repair' = 4, 'custom' = 5),
    ver      UInt64,
    stored_at DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = ReplacingMergeTree(ver)
PARTITION BY toYYYYMM(period)
ORDER BY (tenant, rule_id, key, period, id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1,
         ttl_only_drop_parts = 1;

CREATE TABLE IF NOT EXISTS finding_changes 
(
    tenant       LowCardinality(String),
    finding_id   String,
    n            UInt32,
    state        LowCardinality(String),
    reason       LowCardinality(String),
    at           DateTime64(3, 'UTC'),
    count_before UInt64,
    first_before DateTime64(3, 'UTC'),
    last_before  DateTime64(3, 'UTC'),
    count        UInt64,
    first        DateTime64(3, 'UTC'),
    last         DateTime64(3, 'UTC'),
    period       DateTime64(3, 'UTC'),
    ver          UInt64
)
ENGINE = ReplacingMergeTree(ver)
PARTITION BY toYYYYMM(period)
ORDER BY (tenant, finding_id, n)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1,
         ttl_only_drop_parts = 1;

CREATE TABLE IF NOT EXISTS deliveries 
(
    time     DateTime64(3, 'UTC'),
    tenant   LowCardinality(String),
    alert_id String,
    channel  LowCardinality(String),
    attempt  UInt64,
    ok       UInt8,
    error    String CODEC(ZSTD(3))
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(time)
ORDER BY (tenant, alert_id, time)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1,
         ttl_only_drop_parts = 1;


CREATE TABLE IF NOT EXISTS events_by_time 
(
    tenant    LowCardinality(String),
    time      DateTime64(3, 'UTC')    CODEC(Delta, ZSTD(1)),
    client_id String                  CODEC(ZSTD(1)),
    type      LowCardinality(String),
    INDEX by_type type TYPE set(0) GRANULARITY 1
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMMDD(time)
ORDER BY (tenant, time, client_id, type)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1,
         max_compress_block_size = 65536, ttl_only_drop_parts = 1;

CREATE TABLE IF NOT EXISTS events_by_identity 
(
    tenant    LowCardinality(String),
    identity  String                  CODEC(ZSTD(1)),
    time      DateTime64(3, 'UTC')    CODEC(Delta, ZSTD(1)),
    client_id String                  CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMMDD(time)
ORDER BY (tenant, identity, time, client_id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1,
         max_compress_block_size = 65536, ttl_only_drop_parts = 1;

CREATE TABLE IF NOT EXISTS tokens 
(
    tenant    LowCardinality(String),
    hash      UInt64                  CODEC(Delta, ZSTD(1)),
    used      UInt8                   CODEC(ZSTD(1)),
    time      DateTime64(3, 'UTC')    CODEC(ZSTD(1)),
    client_id String                  CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(time)
ORDER BY (tenant, hash, used, time, client_id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1,
         max_compress_block_size = 65536, ttl_only_drop_parts = 1;

CREATE TABLE IF NOT EXISTS counts_hourly 
(
    tenant          LowCardinality(String),
    hour            DateTime('UTC')         CODEC(Delta, ZSTD(1)),
    client_id       String                  CODEC(ZSTD(1)),
    identity        String                  CODEC(ZSTD(1)),
    identity_kind   LowCardinality(String),
    type            LowCardinality(String),
    outcome         LowCardinality(String),
    audience        LowCardinality(String),
    organization_id String                  CODEC(ZSTD(1)),
    network         String                  CODEC(ZSTD(1)),
    cause           LowCardinality(String),
    count           UInt64                  CODEC(ZSTD(1)),
    first           DateTime64(3, 'UTC')    CODEC(Delta, ZSTD(1)),
    last            DateTime64(3, 'UTC')    CODEC(Delta, ZSTD(1)),
    ver             UInt64                  CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(ver)
PARTITION BY toYYYYMM(hour)
ORDER BY (tenant, hour, client_id, identity, identity_kind, type, outcome, audience, organization_id, network, cause)
SETTINGS min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1,
         fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1,
         ttl_only_drop_parts = 1;

CREATE TABLE IF NOT EXISTS counts_daily 
(
    tenant          LowCardinality(String),
    day             Date                    CODEC(Delta, ZSTD(1)),
    client_id       String                  CODEC(ZSTD(1)),
    identity        String                  CODEC(ZSTD(1)),
    identity_kind   LowCardinality(String),
    type            LowCardinality(String),
    outcome         LowCardinality(String),
    audience        LowCardinality(String),
    organization_id String                  CODEC(ZSTD(1)),
    network         String                  CODEC(ZSTD(1)),
    cause           LowCardinality(String),
    count           UInt64                  CODEC(ZSTD(1)),
    first           DateTime64(3, 'UTC')    CODEC(Delta, ZSTD(1)),
    last            DateTime64(3, 'UTC')    CODEC(Delta, ZSTD(1)),
    ver             UInt64                  CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(ver)
PARTITION BY toYYYYMM(day)
ORDER BY (tenant, day, client_id, identity, identity_kind, type, outcome, audience, organization_id, network, cause)
SETTINGS min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1,
         fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1,
         ttl_only_drop_parts = 1;

CREATE TABLE IF NOT EXISTS presence 
(
    tenant    LowCardinality(String),
    identity  String               CODEC(ZSTD(1)),
    attribute LowCardinality(String),
    value     String               CODEC(ZSTD(1)),
    day       Date                 CODEC(Delta, ZSTD(1)),
    client_id String               CODEC(ZSTD(1)),
    count     UInt64               CODEC(ZSTD(1)),
    first     DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    last      DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    ver       UInt64               CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(ver)
PARTITION BY toYYYYMM(day)
ORDER BY (tenant, identity, attribute, value, day, client_id)
SETTINGS index_granularity = 1024,
         min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1,
         fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1,
         ttl_only_drop_parts = 1;

CREATE TABLE IF NOT EXISTS epochs 
(
    role  LowCardinality(String),
    epoch UInt64,
    began DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = MergeTree
ORDER BY (role, epoch)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1;


ALTER TABLE events 
    ADD COLUMN IF NOT EXISTS asn UInt32 CODEC(ZSTD(1)) AFTER country,
    ADD COLUMN IF NOT EXISTS as_org LowCardinality(String) AFTER asn;

CREATE TABLE IF NOT EXISTS reprocess_jobs 
(
    id         String,
    tenant     LowCardinality(String),
    from_time  DateTime64(3, 'UTC'),
    to_time    DateTime64(3, 'UTC'),
    asked      String,
    dry_run    UInt8,
    state      LowCardinality(String),
    total      UInt64,
    done       UInt64,
    changed    UInt64,
    moved      UInt64,
    errors     UInt64,
    position   String,
    begun      String,
    basis      String,
    error      String,
    created_at DateTime64(3, 'UTC'),
    updated_at DateTime64(3, 'UTC'),
    ver        UInt64
)
ENGINE = ReplacingMergeTree(ver)
PARTITION BY toYYYYMM(created_at)
ORDER BY (created_at, id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1,
         ttl_only_drop_parts = 1;



ALTER TABLE events 
    MODIFY COLUMN identity    LowCardinality(String) CODEC(ZSTD(1)),
    MODIFY COLUMN client_name LowCardinality(String) CODEC(ZSTD(1)),
    MODIFY COLUMN ip          LowCardinality(String) CODEC(ZSTD(1)),
    MODIFY COLUMN client_ip   LowCardinality(String) CODEC(ZSTD(1)),
    MODIFY COLUMN network     LowCardinality(String) CODEC(ZSTD(1)),
    MODIFY COLUMN user_agent  LowCardinality(String) CODEC(ZSTD(1)),
    MODIFY COLUMN ja3         LowCardinality(String) CODEC(ZSTD(1)),
    MODIFY COLUMN ja4         LowCardinality(String) CODEC(ZSTD(1))
    SETTINGS alter_sync = 0;

ALTER TABLE events  MODIFY COLUMN raw MODIFY SETTING max_compress_block_size = 1048576;

ALTER TABLE events 
    MODIFY SETTING min_age_to_force_merge_seconds = 21600, min_age_to_force_merge_on_partition_only = 1;


ALTER TABLE events_by_time  MODIFY COLUMN client_id LowCardinality(String) CODEC(ZSTD(1)) SETTINGS alter_sync = 0;

ALTER TABLE events_by_time 
    MODIFY SETTING min_age_to_force_merge_seconds = 21600, min_age_to_force_merge_on_partition_only = 1;

ALTER TABLE events_by_identity  MODIFY COLUMN client_id LowCardinality(String) CODEC(ZSTD(1)) SETTINGS alter_sync = 0;

ALTER TABLE events_by_identity 
    MODIFY SETTING min_age_to_force_merge_seconds = 21600, min_age_to_force_merge_on_partition_only = 1;

CREATE TABLE IF NOT EXISTS events_by_token 
(
    tenant    LowCardinality(String),
    hash      UInt32                  CODEC(Delta, ZSTD(1)),
    used      UInt8                   CODEC(ZSTD(1)),
    time      DateTime64(3, 'UTC')    CODEC(ZSTD(1)),
    client_id LowCardinality(String)  CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(time)
ORDER BY (tenant, hash, used, time, client_id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1,
         max_compress_block_size = 65536, ttl_only_drop_parts = 1;

INSERT INTO events_by_token (tenant, hash, used, time, client_id)
SELECT tenant, toUInt32(sipHash64(token_id)), 0, time, client_id FROM events WHERE token_id != ''
UNION ALL
SELECT tenant, toUInt32(sipHash64(used_token_id)), 1, time, client_id FROM events WHERE used_token_id != '';

CREATE TABLE IF NOT EXISTS usage_daily 
(
    tenant          LowCardinality(String),
    day             Date                    CODEC(Delta, ZSTD(1)),
    client_id       String                  CODEC(ZSTD(1)),
    type            LowCardinality(String),
    outcome         LowCardinality(String),
    audience        LowCardinality(String),
    organization_id String                  CODEC(ZSTD(1)),
    cause           LowCardinality(String),
    count           UInt64                  CODEC(ZSTD(1)),
    first           DateTime64(3, 'UTC')    CODEC(Delta, ZSTD(1)),
    last            DateTime64(3, 'UTC')    CODEC(Delta, ZSTD(1)),
    ver             UInt64                  CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(ver)
PARTITION BY toYYYYMM(day)
ORDER BY (tenant, day, client_id, type, outcome, audience, organization_id, cause)
SETTINGS min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1,
         fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1,
         ttl_only_drop_parts = 1;

INSERT INTO usage_daily (tenant, day, client_id, type, outcome, audience, organization_id, cause, count, first, last, ver)
SELECT tenant, day, client_id, type, outcome, audience, organization_id, cause,
       sum(c.count), minIf(c.first, c.count > 0), max(c.last), max(c.ver)
FROM counts_daily AS c FINAL
GROUP BY tenant, day, client_id, type, outcome, audience, organization_id, cause
SETTINGS do_not_merge_across_partitions_select_final = 1, max_bytes_before_external_group_by = 67108864,
         min_insert_block_size_rows = 100000, min_insert_block_size_bytes = 33554432;

CREATE TABLE IF NOT EXISTS generations 
(
    generation UInt64,
    basis      String,
    began      DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = MergeTree
ORDER BY generation
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1;

ALTER TABLE matches 
    ADD COLUMN IF NOT EXISTS generation UInt16 CODEC(ZSTD(1)),
    MODIFY ORDER BY (selector, tenant, bucket, key, t, log_id, generation);

CREATE TABLE IF NOT EXISTS reprocess_cancels 
(
    id         String,
    created_at DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = MergeTree
ORDER BY id
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1;

ALTER TABLE events  ADD INDEX IF NOT EXISTS by_log_id log_id TYPE bloom_filter(0.05) GRANULARITY 1;

ALTER TABLE events  MATERIALIZE INDEX by_log_id SETTINGS mutations_sync = 0;


DROP TABLE IF EXISTS tokens  SYNC;


ALTER TABLE counts_hourly 
    MODIFY COLUMN client_id String CODEC(ZSTD(3)),
    MODIFY COLUMN identity  String CODEC(ZSTD(3));

ALTER TABLE counts_hourly  MODIFY COLUMN client_id MODIFY SETTING min_compress_block_size = 2097152, max_compress_block_size = 2097152;

ALTER TABLE counts_hourly  MODIFY COLUMN identity  MODIFY SETTING min_compress_block_size = 2097152, max_compress_block_size = 2097152;

ALTER TABLE events_by_time      MODIFY SETTING min_bytes_for_wide_part = 2097152;

ALTER TABLE events_by_identity  MODIFY SETTING min_bytes_for_wide_part = 2097152;

ALTER TABLE events  ADD INDEX IF NOT EXISTS by_stored_at stored_at TYPE minmax GRANULARITY 1;

ALTER TABLE events  MATERIALIZE INDEX by_stored_at SETTINGS mutations_sync = 0;

ALTER TABLE events  MODIFY SETTING min_bytes_for_wide_part = 67108864;

CREATE TABLE IF NOT EXISTS successes 
(
    tenant    LowCardinality(String),
    identity  String               CODEC(ZSTD(1)),
    client_id String               CODEC(ZSTD(1)),
    month     Date                 CODEC(Delta, ZSTD(1)),
    last      Date                 CODEC(Delta, ZSTD(1)),
    ver       UInt64               CODEC(Delta, ZSTD(1))
)
ENGINE = ReplacingMergeTree(ver)
PARTITION BY toYYYYMM(month)
ORDER BY (tenant, identity, client_id, month)
SETTINGS index_granularity = 1024,
         min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1,
         fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1,
         ttl_only_drop_parts = 1;

INSERT INTO successes (tenant, identity, client_id, month, last, ver)
SELECT tenant, identity, client_id, toStartOfMonth(c.day) AS month, max(c.day), max(c.ver)
FROM counts_daily AS c FINAL
WHERE outcome != 'failure' AND identity != '' AND c.count > 0
GROUP BY tenant, identity, client_id, month
SETTINGS do_not_merge_across_partitions_select_final = 1, max_bytes_before_external_group_by = 67108864;

CREATE TABLE IF NOT EXISTS provision_log 
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
ENGINE = ReplacingMergeTree(ver)
PARTITION BY toYYYYMM(at)
ORDER BY (at, id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1,
         ttl_only_drop_parts = 1;

CREATE TABLE IF NOT EXISTS inventory 
(
    tenant     LowCardinality(String),
    kind       LowCardinality(String),
    id         String                  CODEC(ZSTD(1)),
    identity   String                  CODEC(ZSTD(1)),
    name       String                  CODEC(ZSTD(1)),
    type       LowCardinality(String),
    owner      String                  CODEC(ZSTD(1)),
    purpose    String                  CODEC(ZSTD(1)),
    expires    String                  CODEC(ZSTD(1)),
    members    String                  CODEC(ZSTD(1)),
    created_at DateTime64(3, 'UTC')    CODEC(ZSTD(1)),
    first_seen DateTime64(3, 'UTC')    CODEC(ZSTD(1)),
    changed_at DateTime64(3, 'UTC')    CODEC(ZSTD(1)),
    deleted_at DateTime64(3, 'UTC')    CODEC(ZSTD(1)),
    n          UInt32                  CODEC(ZSTD(1)),
    ver        UInt64                  CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree(ver)
ORDER BY (tenant, kind, id)
SETTINGS index_granularity = 1024,
         fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1;

CREATE TABLE IF NOT EXISTS inventory_changes 
(
    tenant   LowCardinality(String),
    kind     LowCardinality(String),
    id       String                  CODEC(ZSTD(1)),
    n        UInt32                  CODEC(ZSTD(1)),
    identity String                  CODEC(ZSTD(1)),
    name     String                  CODEC(ZSTD(1)),
    act      LowCardinality(String),
    members  String                  CODEC(ZSTD(1)),
    time     DateTime64(3, 'UTC')    CODEC(ZSTD(1)),
    found_at DateTime64(3, 'UTC')    CODEC(ZSTD(1)),
    ver      UInt64                  CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree(ver)
ORDER BY (tenant, kind, id, n)
SETTINGS index_granularity = 1024,
         fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1;

CREATE TABLE IF NOT EXISTS inventory_syncs 
(
    id         String,
    tenant     LowCardinality(String),
    reason     LowCardinality(String),
    state      LowCardinality(String),
    kinds      String,
    whole      Array(LowCardinality(String)),
    error      String,
    created_at DateTime64(3, 'UTC'),
    began_at   DateTime64(3, 'UTC'),
    updated_at DateTime64(3, 'UTC'),
    ver        UInt64
)
ENGINE = ReplacingMergeTree(ver)
PARTITION BY toYYYYMM(created_at)
ORDER BY (created_at, id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1,
         ttl_only_drop_parts = 1;


ALTER TABLE findings 
    ADD COLUMN IF NOT EXISTS paging LowCardinality(String),
    ADD COLUMN IF NOT EXISTS paging_reason String CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS paged_at DateTime64(3, 'UTC'),
    ADD COLUMN IF NOT EXISTS found_at DateTime64(3, 'UTC');


ALTER TABLE finding_changes 
    ADD COLUMN IF NOT EXISTS paging LowCardinality(String),
    ADD COLUMN IF NOT EXISTS paging_reason String CODEC(ZSTD(1));

CREATE TABLE IF NOT EXISTS finding_acts 
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
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(period)
ORDER BY (tenant, finding_id, at, id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1,
         ttl_only_drop_parts = 1;

CREATE TABLE IF NOT EXISTS silences 
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
ENGINE = ReplacingMergeTree(ver)
ORDER BY id
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1;


ALTER TABLE deliveries 
    ADD COLUMN IF NOT EXISTS kind LowCardinality(String),
    ADD COLUMN IF NOT EXISTS rule_id LowCardinality(String),
    ADD COLUMN IF NOT EXISTS level LowCardinality(String),
    ADD COLUMN IF NOT EXISTS summary String CODEC(ZSTD(1));

CREATE TABLE IF NOT EXISTS matches_scratch 
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
ENGINE = ReplacingMergeTree(ver)
PARTITION BY toYYYYMM(bucket)
ORDER BY (selector, tenant, bucket, key, t, log_id, generation)
SETTINGS index_granularity = 1024,
         fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1;

CREATE TABLE IF NOT EXISTS backtests 
(
    id         String,
    state      LowCardinality(String),
    job        String                  CODEC(ZSTD(3)),
    created_at DateTime64(3, 'UTC'),
    ver        UInt64
)
ENGINE = ReplacingMergeTree(ver)
PARTITION BY toYYYYMM(created_at)
ORDER BY (created_at, id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1,
         ttl_only_drop_parts = 1;

CREATE TABLE IF NOT EXISTS selectors 
(
    selector LowCardinality(String),
    state    LowCardinality(String),
    since    DateTime64(3, 'UTC'),
    reach    UInt64,
    done     UInt64,
    total    UInt64,
    ver      UInt64
)
ENGINE = ReplacingMergeTree(ver)
ORDER BY selector
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1;

CREATE TABLE IF NOT EXISTS expectations 
(
    tenant      LowCardinality(String),
    identity    String,
    expect      String                 CODEC(ZSTD(1)),
    declared_at DateTime64(3, 'UTC'),
    ver         UInt64
)
ENGINE = ReplacingMergeTree(ver)
ORDER BY (tenant, identity)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1;

CREATE TABLE IF NOT EXISTS versions 
(
    tenant    LowCardinality(String),
    client_id String                  CODEC(ZSTD(1)),
    time      DateTime64(3, 'UTC')    CODEC(Delta, ZSTD(1)),
    log_id    String                  CODEC(ZSTD(1)),
    ver       UInt64                  CODEC(ZSTD(1)),
    deleted   UInt8 DEFAULT 0         CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree(ver, deleted)
PARTITION BY toYYYYMM(time)
ORDER BY (tenant, client_id, time, log_id)
SETTINGS index_granularity = 1024,
         fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1,
         max_compress_block_size = 65536, ttl_only_drop_parts = 1;

INSERT INTO versions (tenant, client_id, time, log_id, ver, deleted)
SELECT tenant, client_id, time, log_id, ver, deleted FROM events;

CREATE TABLE IF NOT EXISTS ticks 
(
    rule   LowCardinality(String),
    tenant LowCardinality(String),
    digest String,
    until  DateTime64(3, 'UTC'),
    ver    UInt64
)
ENGINE = ReplacingMergeTree(ver)
ORDER BY (rule, tenant)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1;
