-- From documents to entries: the rules by ledger, what is to do, and what was made of each document. Every key starts with
-- ledger_id. A document is named by source, kind, account ('' but for bank transactions) and external_id. Rows of todo come
-- by the thousand and only from documents of the mirror, so they have no foreign keys.

CREATE SCHEMA mapping;
CREATE SCHEMA pipeline;

-- Versions of a ledger's rules, each as it was given; none ever changes. digest: SHA-256 of text.
CREATE TABLE mapping.ruleset (
    ledger_id bigint NOT NULL,
    version integer NOT NULL,
    name text NOT NULL,
    text text NOT NULL,
    digest bytea NOT NULL,
    created_at timestamptz NOT NULL,
    created_by text COLLATE "C" NOT NULL,
    active boolean NOT NULL DEFAULT false,
    CONSTRAINT ruleset_pkey PRIMARY KEY (ledger_id, version),
    CONSTRAINT ruleset_digest_key UNIQUE (ledger_id, digest),
    CONSTRAINT ruleset_ledger_fkey FOREIGN KEY (ledger_id) REFERENCES ledger.ledger (ledger_id),
    CONSTRAINT ruleset_version_positive CHECK (version > 0),
    CONSTRAINT ruleset_digest_length CHECK (octet_length(digest) = 32)
);
CREATE UNIQUE INDEX ruleset_active ON mapping.ruleset (ledger_id) WHERE active;

-- Documents that changed, disappeared, or are to be tried again. change: another number with each change, so that who has
-- looked at a document removes nothing that came since. since: when what has not been looked at yet began to wait.
-- gone: the document disappeared; it is taken when the source has been read to its end, as it may come back until then.
CREATE TABLE pipeline.todo (
    ledger_id bigint NOT NULL,
    source text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    account text COLLATE "C" NOT NULL DEFAULT '',
    external_id text COLLATE "C" NOT NULL,
    change bigint GENERATED ALWAYS AS IDENTITY,
    gone boolean NOT NULL DEFAULT false,
    since timestamptz NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    not_before timestamptz NOT NULL,
    CONSTRAINT todo_pkey PRIMARY KEY (ledger_id, source, kind, account, external_id),
    CONSTRAINT todo_kind_known CHECK (kind IN ('invoice', 'payroll_run', 'bank_transaction', 'payment'))
) WITH (autovacuum_vacuum_scale_factor = 0.1, autovacuum_vacuum_threshold = 1000);
CREATE INDEX todo_by_turn ON pipeline.todo (ledger_id, not_before, change);

-- What became of a document when it was looked at last. rule: which one decided, null: none did. content_hash: of all that
-- may change what it posts, null: it is looked at whatever it says. generation: of explicit re-postings. bill_key: of a bill, a digest of what two systems would state alike (supplier's tax id, number, total).
CREATE TABLE pipeline.document (
    ledger_id bigint NOT NULL,
    source text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    account text COLLATE "C" NOT NULL DEFAULT '',
    external_id text COLLATE "C" NOT NULL,
    status text COLLATE "C" NOT NULL,
    rule text COLLATE "C",
    ruleset_version integer,
    content_hash bytea,
    generation integer NOT NULL DEFAULT 1,
    bill_key bytea,
    processed_at timestamptz NOT NULL,
    CONSTRAINT document_pkey PRIMARY KEY (ledger_id, source, kind, account, external_id),
    CONSTRAINT document_ledger_fkey FOREIGN KEY (ledger_id) REFERENCES ledger.ledger (ledger_id),
    CONSTRAINT document_kind_known CHECK (kind IN ('invoice', 'payroll_run', 'bank_transaction', 'payment')),
    CONSTRAINT document_status_known CHECK (status IN
        ('POSTED', 'NOTHING', 'PROPOSED', 'ISSUE', 'BEFORE_CUTOVER', 'DUPLICATE')),
    CONSTRAINT document_generation_positive CHECK (generation > 0)
);
CREATE INDEX document_waiting ON pipeline.document (ledger_id, status, source)
    WHERE status IN ('PROPOSED', 'ISSUE', 'DUPLICATE');
CREATE INDEX document_by_bill ON pipeline.document (ledger_id, bill_key) WHERE bill_key IS NOT NULL;

-- Each posting that was ever made, or proposed, of a document. name: of the posting within the rule; number: counts what
-- became of that name, from 1. outcome: SHA-256 of all that the posting says.
-- PROPOSED: waits for approval, or was approved and waits to be posted; REJECTED: a person refused it; WITHDRAWN: the
-- document changed before it was posted; POSTED: it stands as the entry `sequence`; REVERSED: by `reversal_sequence`.
CREATE TABLE pipeline.posting (
    ledger_id bigint NOT NULL,
    source text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    account text COLLATE "C" NOT NULL DEFAULT '',
    external_id text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    generation integer NOT NULL,
    number integer NOT NULL,
    outcome bytea NOT NULL,
    status text COLLATE "C" NOT NULL,
    sequence bigint,
    reversal_sequence bigint,
    rule text COLLATE "C" NOT NULL,
    ruleset_version integer NOT NULL,
    effective_date date NOT NULL,
    CONSTRAINT posting_pkey PRIMARY KEY (ledger_id, source, kind, account, external_id, name, generation, number),
    CONSTRAINT posting_document_fkey FOREIGN KEY (ledger_id, source, kind, account, external_id)
        REFERENCES pipeline.document (ledger_id, source, kind, account, external_id),
    CONSTRAINT posting_name_length CHECK (char_length(name) BETWEEN 1 AND 200),
    CONSTRAINT posting_counts CHECK (generation > 0 AND number > 0),
    CONSTRAINT posting_outcome_length CHECK (octet_length(outcome) = 32),
    CONSTRAINT posting_status_known CHECK (status IN ('PROPOSED', 'REJECTED', 'WITHDRAWN', 'POSTED', 'REVERSED')),
    CONSTRAINT posting_entries_fit CHECK ((sequence IS NOT NULL) = (status IN ('POSTED', 'REVERSED'))
        AND (reversal_sequence IS NOT NULL) = (status = 'REVERSED'))
);
-- Of one name, one posting stands, and one waits to replace it.
CREATE UNIQUE INDEX posting_live ON pipeline.posting (ledger_id, source, kind, account, external_id, name, status)
    WHERE status IN ('PROPOSED', 'POSTED');

-- Postings that wait for a person. draft: the entry as it would be posted. decision: null while it waits.
CREATE TABLE pipeline.proposal (
    ledger_id bigint NOT NULL,
    proposal_id bigint GENERATED ALWAYS AS IDENTITY,
    source text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    account text COLLATE "C" NOT NULL DEFAULT '',
    external_id text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    generation integer NOT NULL,
    number integer NOT NULL,
    draft jsonb NOT NULL,
    created_at timestamptz NOT NULL,
    decided_at timestamptz,
    decided_by text COLLATE "C",
    decision text COLLATE "C",
    CONSTRAINT proposal_pkey PRIMARY KEY (ledger_id, proposal_id),
    CONSTRAINT proposal_posting_key UNIQUE (ledger_id, source, kind, account, external_id, name, generation, number),
    CONSTRAINT proposal_posting_fkey FOREIGN KEY (ledger_id, source, kind, account, external_id, name, generation, number)
        REFERENCES pipeline.posting (ledger_id, source, kind, account, external_id, name, generation, number),
    CONSTRAINT proposal_decision_known CHECK (decision IN ('APPROVED', 'REJECTED', 'WITHDRAWN')),
    CONSTRAINT proposal_decision_whole CHECK ((decided_at IS NULL) = (decision IS NULL)
        AND (decided_by IS NULL) = (decision IS NULL))
);
CREATE INDEX proposal_waiting ON pipeline.proposal (ledger_id, created_at) WHERE decision IS NULL;
