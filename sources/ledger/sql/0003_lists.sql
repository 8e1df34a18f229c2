-- Pages of entries by journal, source and reference, in order of sequence: without these, a page of what is rare reads the
-- whole ledger. Each holds only the entries that state the value.
CREATE INDEX entry_by_journal ON ledger.entry (ledger_id, journal, sequence) WHERE journal <> '';
CREATE INDEX entry_by_source ON ledger.entry (ledger_id, origin, sequence) WHERE origin <> '';
CREATE INDEX entry_by_reference ON ledger.entry (ledger_id, reference, sequence) WHERE reference IS NOT NULL;

-- Few entries reverse one: the others need no place in its index.
ALTER TABLE ledger.entry DROP CONSTRAINT entry_reverses_key;
CREATE UNIQUE INDEX entry_reverses_key ON ledger.entry (ledger_id, reverses) WHERE reverses IS NOT NULL;
