-- successes: the last day of each month on which an identity succeeded at
-- anything, by the client that it did so through. It tells whom anyone could have
-- made up, whatever range is asked for: an id that never succeeded has no row, so
-- there are as many as there are identities, and not as there are ids tried.
-- last is 1970-01-01 where it turned out that there was none. client_id is part
-- of the key because it is the unit of the recount.
-- PARTITION BY month, though rows are few: so they expire with the days they are of.
-- index_granularity: a listing of few identities reads little.
CREATE TABLE IF NOT EXISTS {{table "successes"}} {{on_cluster}}
(
    tenant    LowCardinality(String),
    identity  String               CODEC(ZSTD(1)),
    client_id String               CODEC(ZSTD(1)),
    month     Date                 CODEC(Delta, ZSTD(1)),
    last      Date                 CODEC(Delta, ZSTD(1)),
    ver       UInt64               CODEC(Delta, ZSTD(1))
)
ENGINE = {{engine "ReplacingMergeTree" "ver"}}
PARTITION BY toYYYYMM(month)
ORDER BY (tenant, identity, client_id, month)
SETTINGS index_granularity = 1024,
         min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1,
         fsync_after_insert = 1, fsync_part_directory = 1, min_compressed_bytes_to_fsync_after_merge = 1,
         ttl_only_drop_parts = 1;

{{distributed "successes" "sipHash64(tenant, client_id)"}};

INSERT INTO successes (tenant, identity, client_id, month, last, ver)
SELECT tenant, identity, client_id, toStartOfMonth(c.day) AS month, max(c.day), max(c.ver)
FROM counts_daily AS c FINAL
WHERE outcome != 'failure' AND identity != '' AND c.count > 0
GROUP BY tenant, identity, client_id, month
SETTINGS do_not_merge_across_partitions_select_final = 1, max_bytes_before_external_group_by = 67108864;
