-- findings: what the correlator computed last for (rule, tenant, key, period);
-- the id is their hash. ver is (lease epoch, sequence), fixed before the read
-- that the row rests on: a holder of the lease that stalled and woke up writes
-- rows that lose. period never changes for an id, so it may be in the key.
-- Shards: a finding is where the matches of its key are.
CREATE TABLE IF NOT EXISTS {{table "findings"}} {{on_cluster}}
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
ENGINE = {{engine "ReplacingMergeTree" "ver"}}
PARTITION BY toYYYYMM(period)
ORDER BY (tenant, rule_id, key, period, id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1,
         ttl_only_drop_parts = 1;

{{distributed "findings" "sipHash64(tenant, key)"}};

-- finding_changes: the history of a finding's state, append-only, n counting
-- its changes. A change is written before its finding: a crash between the two
-- makes it be written again, with a higher ver. Readers take those up to the
-- finding's own number of changes, so that what was written and then not
-- carried out is not seen.
-- period is the finding's and never changes for an id; at may, so it must not
-- enter a key.
-- Shards: the changes of a finding are in one.
CREATE TABLE IF NOT EXISTS {{table "finding_changes"}} {{on_cluster}}
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
ENGINE = {{engine "ReplacingMergeTree" "ver"}}
PARTITION BY toYYYYMM(period)
ORDER BY (tenant, finding_id, n)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1,
         ttl_only_drop_parts = 1;

{{distributed "finding_changes" "sipHash64(tenant, finding_id)"}};

-- deliveries: every attempt to deliver an alert, and how it ended.
CREATE TABLE IF NOT EXISTS {{table "deliveries"}} {{on_cluster}}
(
    time     DateTime64(3, 'UTC'),
    tenant   LowCardinality(String),
    alert_id String,
    channel  LowCardinality(String),
    attempt  UInt64,
    ok       UInt8,
    error    String CODEC(ZSTD(3))
)
ENGINE = {{engine "MergeTree"}}
PARTITION BY toYYYYMM(time)
ORDER BY (tenant, alert_id, time)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1,
         ttl_only_drop_parts = 1;

{{distributed "deliveries" "sipHash64(tenant, alert_id)"}};
