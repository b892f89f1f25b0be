-- tokens: events_by_token took its place. It goes only now, in a file of its own:
-- this one is applied when all of 009 has been, and until then a build before
-- 009 can go back to work.
{{range tables "tokens"}}
DROP TABLE IF EXISTS {{.}} {{on_cluster}} SYNC;
{{end}}
