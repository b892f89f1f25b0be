-- reprocess_cancels: the jobs that the API was asked to cancel. A row of the job
-- itself would be overwritten by the processor that runs it, or overwrite what
-- that has told. Few rows, and looked for by id.
-- Shards: the cancel of a job is in one place.
CREATE TABLE IF NOT EXISTS {{table "reprocess_cancels"}} {{on_cluster}}
(
    id         String,
    created_at DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = {{engine "MergeTree"}}
ORDER BY id
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1;

{{distributed "reprocess_cancels" "sipHash64(id)"}};
