-- generations: what has decided how stored records are normalized again (build,
-- event types, rules, files), numbered from 1. The number is in the ver of what
-- was written by it. A few rows for ever, since events keep their ver.
CREATE TABLE IF NOT EXISTS {{table "generations"}} {{on_cluster}}
(
    generation UInt64,
    basis      String,
    began      DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = {{engine "MergeTree"}}
ORDER BY generation
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1;

{{distributed "generations" "sipHash64(generation)"}};

-- matches: the generation of those of an event that is normalized again, 0 where
-- they came by a flush. They are written before their event. Without it in the
-- key a merge in between leaves them alone, which nobody believes yet, and takes
-- the ones that are believed: a finding would lose its ground until the event
-- is there. The price is that those stay until their partition goes.
ALTER TABLE {{table "matches"}} {{on_cluster}}
    ADD COLUMN IF NOT EXISTS generation UInt16 CODEC(ZSTD(1)),
    MODIFY ORDER BY (selector, tenant, bucket, key, t, log_id, generation);
{{range slice (tables "matches") 1}}
ALTER TABLE {{.}} {{on_cluster}}
    ADD COLUMN IF NOT EXISTS generation UInt16 CODEC(ZSTD(1));
{{end}}
