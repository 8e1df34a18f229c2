-- What was submitted of sources whose documents are submitted to us: the newest version's own number, by whom and when.
-- revision NULL: the submitter numbers no versions.
CREATE TABLE mirror.submission (
    ledger_id bigint NOT NULL,
    source text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    external_id text COLLATE "C" NOT NULL,
    revision bigint,
    submitted_by text NOT NULL,
    submitted_at timestamptz NOT NULL,
    CONSTRAINT submission_pkey PRIMARY KEY (ledger_id, source, kind, external_id),
    CONSTRAINT submission_ledger_fkey FOREIGN KEY (ledger_id) REFERENCES ledger.ledger (ledger_id)
);

GRANT SELECT, INSERT, UPDATE, DELETE ON mirror.submission TO ledgergraph_app;
ALTER TABLE mirror.submission ENABLE ROW LEVEL SECURITY;
CREATE POLICY visible ON mirror.submission TO ledgergraph_app
    USING ((SELECT ledger.sees_every_ledger()) OR ledger_id = ANY ((SELECT ledger.visible_ledgers())::bigint[]));
