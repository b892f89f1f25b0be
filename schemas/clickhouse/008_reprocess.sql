-- reprocess_jobs: what the API was asked to normalize again, and how far that
-- is. The API writes a job with ver 0; the processor that runs it writes it
-- anew with ver (epoch of the lease, sequence), behind the fence of epochs.
-- position is the last record that is done, begun the last one that may be half
-- written, both as JSON: on its way on a job does again what lies between.
-- basis names the build, event types and rules that it was begun with: with
-- others it begins anew.
-- Shards: the versions of a job meet.
CREATE TABLE IF NOT EXISTS {{table "reprocess_jobs"}} {{on_cluster}}
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
ENGINE = {{engine "ReplacingMergeTree" "ver"}}
PARTITION BY toYYYYMM(created_at)
ORDER BY (created_at, id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1,
         ttl_only_drop_parts = 1;

{{distributed "reprocess_jobs" "sipHash64(id)"}};
