-- What a month of 100 million events showed to be larger or slower than need
-- be. Types change in the background: until a part is merged or mutated its
-- values are converted as they are read, so nobody waits for it.

-- events: what few clients, people and machines bring again and again is a
-- number into a dictionary; it was 1.6 bytes a row for an address, and is 0.8.
-- raw: 62 logs fit into a block of 64 KiB, and the first of each costs most of
-- it. Blocks of 1 MiB make 16 bytes a row of 28, for one more MiB per day that
-- an insert touches.
-- A day that was left alone for six hours becomes one part: a listing then
-- opens one file per column instead of five, and raw lies beside its like.
{{range tables "events"}}
ALTER TABLE {{.}} {{on_cluster}}
    MODIFY COLUMN identity    LowCardinality(String) CODEC(ZSTD(1)),
    MODIFY COLUMN client_name LowCardinality(String) CODEC(ZSTD(1)),
    MODIFY COLUMN ip          LowCardinality(String) CODEC(ZSTD(1)),
    MODIFY COLUMN client_ip   LowCardinality(String) CODEC(ZSTD(1)),
    MODIFY COLUMN network     LowCardinality(String) CODEC(ZSTD(1)),
    MODIFY COLUMN user_agent  LowCardinality(String) CODEC(ZSTD(1)),
    MODIFY COLUMN ja3         LowCardinality(String) CODEC(ZSTD(1)),
    MODIFY COLUMN ja4         LowCardinality(String) CODEC(ZSTD(1))
    SETTINGS alter_sync = 0;
{{end}}
ALTER TABLE {{table "events"}} {{on_cluster}} MODIFY COLUMN raw MODIFY SETTING max_compress_block_size = 1048576;
ALTER TABLE {{table "events"}} {{on_cluster}}
    MODIFY SETTING min_age_to_force_merge_seconds = 21600, min_age_to_force_merge_on_partition_only = 1;

-- Where rows are not sorted by client, its id as a text was 13 to 15 bytes a
-- row; as a number into a dictionary it is 2.
{{range tables "events_by_time"}}
ALTER TABLE {{.}} {{on_cluster}} MODIFY COLUMN client_id LowCardinality(String) CODEC(ZSTD(1)) SETTINGS alter_sync = 0;
{{end}}
ALTER TABLE {{table "events_by_time"}} {{on_cluster}}
    MODIFY SETTING min_age_to_force_merge_seconds = 21600, min_age_to_force_merge_on_partition_only = 1;
{{range tables "events_by_identity"}}
ALTER TABLE {{.}} {{on_cluster}} MODIFY COLUMN client_id LowCardinality(String) CODEC(ZSTD(1)) SETTINGS alter_sync = 0;
{{end}}
ALTER TABLE {{table "events_by_identity"}} {{on_cluster}}
    MODIFY SETTING min_age_to_force_merge_seconds = 21600, min_age_to_force_merge_on_partition_only = 1;

-- events_by_token takes the place of tokens. hash is the lower half of
-- sipHash64(jti): sorted, 86 million of them a month are neighbours, one byte a
-- row instead of five. That one look-up in fifty finds a candidate too many in a
-- month, one in four in a year, costs less. A hash is in the sorting key, so the
-- table is a new one, filled with what events says. 013 drops the old one.
CREATE TABLE IF NOT EXISTS {{table "events_by_token"}} {{on_cluster}}
(
    tenant    LowCardinality(String),
    hash      UInt32                  CODEC(Delta, ZSTD(1)),
    used      UInt8                   CODEC(ZSTD(1)),
    time      DateTime64(3, 'UTC')    CODEC(ZSTD(1)),
    client_id LowCardinality(String)  CODEC(ZSTD(1))
)
ENGINE = {{engine "ReplacingMergeTree"}}
PARTITION BY toYYYYMM(time)
ORDER BY (tenant, hash, used, time, client_id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1,
         max_compress_block_size = 65536, ttl_only_drop_parts = 1;

{{distributed "events_by_token" "sipHash64(tenant, hash)"}};

INSERT INTO events_by_token (tenant, hash, used, time, client_id)
SELECT tenant, toUInt32(sipHash64(token_id)), 0, time, client_id FROM events WHERE token_id != ''
UNION ALL
SELECT tenant, toUInt32(sipHash64(used_token_id)), 1, time, client_id FROM events WHERE used_token_id != '';

-- usage_daily: counts_daily without identity and network, which people have
-- many of: a tenth of its rows, and all that a usage report asks for.
CREATE TABLE IF NOT EXISTS {{table "usage_daily"}} {{on_cluster}}
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
ENGINE = {{engine "ReplacingMergeTree" "ver"}}
PARTITION BY toYYYYMM(day)
ORDER BY (tenant, day, client_id, type, outcome, audience, organization_id, cause)
SETTINGS min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1,
         fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1,
         ttl_only_drop_parts = 1;

{{distributed "usage_daily" "sipHash64(tenant, client_id)"}};

INSERT INTO usage_daily (tenant, day, client_id, type, outcome, audience, organization_id, cause, count, first, last, ver)
SELECT tenant, day, client_id, type, outcome, audience, organization_id, cause,
       sum(c.count), minIf(c.first, c.count > 0), max(c.last), max(c.ver)
FROM counts_daily AS c FINAL
GROUP BY tenant, day, client_id, type, outcome, audience, organization_id, cause
SETTINGS do_not_merge_across_partitions_select_final = 1, max_bytes_before_external_group_by = 67108864,
         min_insert_block_size_rows = 100000, min_insert_block_size_bytes = 33554432
