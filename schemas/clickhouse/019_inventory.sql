-- inventory: what each tenant has, as its last whole snapshot saw it: clients,
-- their grants and credentials, APIs, roles, programmatic users, log streams. A
-- row is written when it is another than before, and stays with deleted_at when
-- a snapshot misses it. members is JSON of what else is kept, by a list of names:
-- never a secret. created_at and deleted_at are 1970 where there is none. n counts
-- the item's changes in inventory_changes. ver is (epoch of the lease, sequence),
-- behind the fence of epochs.
-- ORDER BY: a snapshot is compared with all of one tenant, a listing is of a kind.
-- No partition and no TTL: as many rows as things, and a name is wanted for as
-- long as events speak of it.
-- Shards: the versions of an item meet.
CREATE TABLE IF NOT EXISTS {{table "inventory"}} {{on_cluster}}
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
ENGINE = {{engine "ReplacingMergeTree" "ver"}}
ORDER BY (tenant, kind, id)
SETTINGS index_granularity = 1024,
         fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1;

{{distributed "inventory" "sipHash64(tenant, id)"}};

-- inventory_changes: what became of each item when. A change is written before
-- the item that it makes, under the number that the item will have: a crash
-- between the two repeats it under the same number, and a reader leaves out what
-- the item has not reached. members is JSON. time is the event's, found_at the
-- snapshot's, which a repeat makes anew: so it is in no key and there are no
-- partitions, and rows expire one by one.
-- Shards: the changes of an item lie beside it.
CREATE TABLE IF NOT EXISTS {{table "inventory_changes"}} {{on_cluster}}
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
ENGINE = {{engine "ReplacingMergeTree" "ver"}}
ORDER BY (tenant, kind, id, n)
SETTINGS index_granularity = 1024,
         fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1;

{{distributed "inventory_changes" "sipHash64(tenant, id)"}};

-- inventory_syncs: the snapshots that were made and that the API asks for, as
-- reprocess_jobs has its jobs. whole are the kinds that were read to their end:
-- the first snapshot of a kind is where its changes begin.
-- Shards: the versions of a sync meet.
CREATE TABLE IF NOT EXISTS {{table "inventory_syncs"}} {{on_cluster}}
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
ENGINE = {{engine "ReplacingMergeTree" "ver"}}
PARTITION BY toYYYYMM(created_at)
ORDER BY (created_at, id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1,
         ttl_only_drop_parts = 1;

{{distributed "inventory_syncs" "sipHash64(id)"}};
