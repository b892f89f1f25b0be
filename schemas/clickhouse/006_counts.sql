-- Counts and presence: recounted from what survives in events, never added up.
--
-- The unit of a recount is what one client did in one hour (in one day for
-- daily counts and presence). Within it every row is computed anew, and a row
-- that vanished is written with count 0. ver is (epoch of the lease,
-- sequence), fixed before the read; the highest survives, and the table epochs
-- keeps a holder of an older epoch from writing at all.
-- Settings: readers take whole months with FINAL, which costs little once a
-- partition is one part, so parts of a partition that has been left alone for
-- an hour are merged into one.
CREATE TABLE IF NOT EXISTS {{table "counts_hourly"}} {{on_cluster}}
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
ENGINE = {{engine "ReplacingMergeTree" "ver"}}
PARTITION BY toYYYYMM(hour)
ORDER BY (tenant, hour, client_id, identity, identity_kind, type, outcome, audience, organization_id, network, cause)
SETTINGS min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1,
         fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1,
         ttl_only_drop_parts = 1;

{{distributed "counts_hourly" "sipHash64(tenant, client_id)"}};

-- A day's row is the sum of its hours.
CREATE TABLE IF NOT EXISTS {{table "counts_daily"}} {{on_cluster}}
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
ENGINE = {{engine "ReplacingMergeTree" "ver"}}
PARTITION BY toYYYYMM(day)
ORDER BY (tenant, day, client_id, identity, identity_kind, type, outcome, audience, organization_id, network, cause)
SETTINGS min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1,
         fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1,
         ttl_only_drop_parts = 1;

{{distributed "counts_daily" "sipHash64(tenant, client_id)"}};

-- presence: which values of an attribute an identity had on a day. The
-- attribute '' stands for the identity itself. client_id is part of the key
-- because it is the unit of the recount.
-- index_granularity: an identity's rows are few, and read at once.
CREATE TABLE IF NOT EXISTS {{table "presence"}} {{on_cluster}}
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
ENGINE = {{engine "ReplacingMergeTree" "ver"}}
PARTITION BY toYYYYMM(day)
ORDER BY (tenant, identity, attribute, value, day, client_id)
SETTINGS index_granularity = 1024,
         min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1,
         fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1,
         ttl_only_drop_parts = 1;

{{distributed "presence" "sipHash64(tenant, client_id)"}};

-- epochs: every epoch that began, of each role. What a holder of the lease
-- computes is written only while no later epoch of its role is here.
CREATE TABLE IF NOT EXISTS {{table "epochs"}} {{on_cluster}}
(
    role  LowCardinality(String),
    epoch UInt64,
    began DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = {{engine "MergeTree"}}
ORDER BY (role, epoch)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1;

{{distributed "epochs" "sipHash64(role)"}};

