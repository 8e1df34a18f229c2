-- Every page looks at the issues of its source: those of documents, of which there may be many more, are not among them.
CREATE INDEX issue_of_source ON mirror.issue (source, ledger_id, opened_at) WHERE kind IS NULL AND closed_at IS NULL;

-- Runs that were broken off.
CREATE INDEX sync_run_open ON mirror.sync_run (source) WHERE finished_at IS NULL;
