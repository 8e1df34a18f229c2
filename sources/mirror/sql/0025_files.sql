-- The options by which a source's files were read when they last stated documents. Null: they did not yet, or their ids are their own.
ALTER TABLE mirror.source_state ADD COLUMN layout text;

-- Which files stated a document, by the start of their bytes' SHA-256: what a reading of all files anew replaces, and what is of files
-- that are gone. checksum '': it is not known. kept: a person said that it stays although its files state it no more under the options
-- by which the source's files are read now.
CREATE TABLE mirror.document_file (
    ledger_id bigint NOT NULL,
    source text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    external_id text COLLATE "C" NOT NULL,
    checksum text COLLATE "C" NOT NULL,
    name text NOT NULL,
    kept boolean NOT NULL DEFAULT false,
    CONSTRAINT document_file_pkey PRIMARY KEY (ledger_id, source, kind, external_id, checksum),
    CONSTRAINT document_file_ledger_fkey FOREIGN KEY (ledger_id) REFERENCES ledger.ledger (ledger_id)
);
CREATE INDEX document_file_kept ON mirror.document_file (source) WHERE kept;

GRANT SELECT, INSERT, UPDATE, DELETE ON mirror.document_file TO ledgergraph_app;
ALTER TABLE mirror.document_file ENABLE ROW LEVEL SECURITY;
CREATE POLICY visible ON mirror.document_file TO ledgergraph_app
    USING ((SELECT ledger.sees_every_ledger()) OR ledger_id = ANY ((SELECT ledger.visible_ledgers())::bigint[]));
