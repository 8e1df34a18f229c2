-- An issue of a document names it: kind, account ('' but for bank transactions) and external_id; all three null: of the
-- source. hint: what to do; excerpt: of the document as the source states it, without secrets and names of people.
-- attempts: how often it was tried in vain since it was opened; next_attempt_at: null when trying again cannot help.
-- resolved_at, resolved_by: a person closed it; note: that person's. It opens again when it is met again.
ALTER TABLE mirror.issue
    ADD COLUMN kind text COLLATE "C",
    ADD COLUMN account text COLLATE "C",
    ADD COLUMN external_id text COLLATE "C",
    ADD COLUMN hint text,
    ADD COLUMN excerpt text,
    ADD COLUMN next_attempt_at timestamptz,
    ADD COLUMN attempts integer NOT NULL DEFAULT 0,
    ADD COLUMN resolved_at timestamptz,
    ADD COLUMN resolved_by text COLLATE "C",
    ADD COLUMN note text,
    ADD COLUMN muted_until timestamptz,
    ADD CONSTRAINT issue_kind_known CHECK (kind IN ('invoice', 'payroll_run', 'bank_transaction', 'payment')),
    ADD CONSTRAINT issue_document_whole CHECK ((kind IS NULL) = (external_id IS NULL) AND (kind IS NULL) = (account IS NULL)),
    ADD CONSTRAINT issue_resolved_whole CHECK ((resolved_at IS NULL) = (resolved_by IS NULL)),
    ADD CONSTRAINT issue_resolved_closed CHECK (resolved_at IS NULL OR closed_at IS NOT NULL);
CREATE INDEX issue_by_document ON mirror.issue (ledger_id, source, kind, account, external_id) WHERE kind IS NOT NULL;

-- Which rule made the entry: null for links from before there were rules.
ALTER TABLE mirror.document_entry
    ADD COLUMN rule text COLLATE "C",
    ADD COLUMN ruleset_version integer,
    ADD COLUMN posting text COLLATE "C";

-- The cut-over that documents of the source were last looked at under; null: they are mirrored only.
ALTER TABLE mirror.source_state ADD COLUMN post_from date;
