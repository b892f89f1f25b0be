-- Ids of machines are random, so that they compress by being seen again alone.
-- What is there already keeps its form until it is merged.

-- counts_hourly: an hour has most clients once, and a block of 64 KiB had less
-- than an hour. In blocks of 2 MiB with a search this long a client's id is
-- found again an hour later: of 10 million events client_id and identity were
-- 28 bytes a row, and are 9. Level 1 looks less far back and gains nothing by
-- larger blocks.
ALTER TABLE {{table "counts_hourly"}} {{on_cluster}}
    MODIFY COLUMN client_id String CODEC(ZSTD(3)),
    MODIFY COLUMN identity  String CODEC(ZSTD(3));
ALTER TABLE {{table "counts_hourly"}} {{on_cluster}} MODIFY COLUMN client_id MODIFY SETTING min_compress_block_size = 2097152, max_compress_block_size = 2097152;
ALTER TABLE {{table "counts_hourly"}} {{on_cluster}} MODIFY COLUMN identity  MODIFY SETTING min_compress_block_size = 2097152, max_compress_block_size = 2097152;

-- In a compact part each granule has a dictionary of its own, which at a third
-- of a million events a day made 14 bytes a row of 5.
ALTER TABLE {{table "events_by_time"}}     {{on_cluster}} MODIFY SETTING min_bytes_for_wide_part = 2097152;
ALTER TABLE {{table "events_by_identity"}} {{on_cluster}} MODIFY SETTING min_bytes_for_wide_part = 2097152;
