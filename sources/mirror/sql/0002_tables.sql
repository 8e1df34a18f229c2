-- The mirror: our copy of what source systems state. Every key starts with ledger_id; only source_state crosses ledgers,
-- because one source may feed several. Money is bigint in minor units of the row's currency. Key text sorts by its bytes.
--
-- Of every document: content_hash covers all that the source states; first_seen and changed_at say when it was first
-- stored and when its content last changed (an unchanged document is not rewritten: the source's as_of tells when it was
-- last confirmed); missing_since is the start of the first whole listing that did not mention it; deleted_at says when it
-- was found gone.

CREATE SCHEMA mirror;

-- as_of: start of the newest pull that came to its end; last_attempt_at: of the newest that ended in whatever way. route: the settings that decide where documents belong;
-- a copy that was read under another route counts for nothing.
CREATE TABLE mirror.source_state (
    source text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    route text NOT NULL,
    cursor text,
    as_of timestamptz,
    last_success_at timestamptz,
    last_attempt_at timestamptz,
    last_error text,
    problems integer NOT NULL DEFAULT 0,
    documents bigint NOT NULL DEFAULT 0,
    CONSTRAINT source_state_pkey PRIMARY KEY (source)
);

-- One pull of a source, under the ledger that the source is configured for.
CREATE TABLE mirror.sync_run (
    ledger_id bigint NOT NULL,
    source text COLLATE "C" NOT NULL,
    run_id bigint GENERATED ALWAYS AS IDENTITY,
    started_at timestamptz NOT NULL,
    finished_at timestamptz,
    pages integer NOT NULL DEFAULT 0,
    documents bigint NOT NULL DEFAULT 0,
    changed bigint NOT NULL DEFAULT 0,
    deleted bigint NOT NULL DEFAULT 0,
    problems integer NOT NULL DEFAULT 0,
    error text,
    CONSTRAINT sync_run_pkey PRIMARY KEY (ledger_id, source, run_id),
    CONSTRAINT sync_run_ledger_fkey FOREIGN KEY (ledger_id) REFERENCES ledger.ledger (ledger_id)
);
CREATE INDEX sync_run_by_start ON mirror.sync_run (ledger_id, source, started_at);

-- One row per cause (code) and subject. opened_at: start of the pull that met it first since it was last closed.
CREATE TABLE mirror.issue (
    ledger_id bigint NOT NULL,
    source text COLLATE "C" NOT NULL,
    code text COLLATE "C" NOT NULL,
    subject text COLLATE "C" NOT NULL,
    message text NOT NULL,
    first_seen timestamptz NOT NULL,
    opened_at timestamptz NOT NULL,
    last_seen timestamptz NOT NULL,
    times integer NOT NULL DEFAULT 1,
    closed_at timestamptz,
    CONSTRAINT issue_pkey PRIMARY KEY (ledger_id, source, code, subject),
    CONSTRAINT issue_ledger_fkey FOREIGN KEY (ledger_id) REFERENCES ledger.ledger (ledger_id)
);

-- Lines and taxes are only ever read and replaced with their invoice, so they are arrays of objects within it;
-- amounts in them are integers in minor units. listed_on: issue_date, else the first day there is.
CREATE TABLE mirror.invoice (
    ledger_id bigint NOT NULL,
    source text COLLATE "C" NOT NULL,
    external_id text COLLATE "C" NOT NULL,
    direction text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    status text COLLATE "C" NOT NULL,
    source_status text NOT NULL,
    number text,
    party_name text NOT NULL,
    party_external_id text,
    party_tax_id text,
    currency text COLLATE "C" NOT NULL,
    issue_date date,
    due_date date,
    listed_on date NOT NULL,
    subtotal bigint NOT NULL,
    tax bigint NOT NULL,
    rounding bigint NOT NULL,
    total bigint NOT NULL,
    prepaid bigint NOT NULL,
    amount_due bigint NOT NULL,
    taxes jsonb,
    lines jsonb NOT NULL,
    raw jsonb NOT NULL,
    content_hash bytea NOT NULL,
    first_seen timestamptz NOT NULL,
    changed_at timestamptz NOT NULL,
    missing_since timestamptz,
    deleted_at timestamptz,
    CONSTRAINT invoice_pkey PRIMARY KEY (ledger_id, source, external_id),
    CONSTRAINT invoice_ledger_fkey FOREIGN KEY (ledger_id) REFERENCES ledger.ledger (ledger_id),
    CONSTRAINT invoice_direction_known CHECK (direction IN ('RECEIVABLE', 'PAYABLE')),
    CONSTRAINT invoice_kind_known CHECK (kind IN ('INVOICE', 'CREDIT_NOTE'))
);
CREATE INDEX invoice_by_date ON mirror.invoice
    (ledger_id, listed_on, source, external_id) WHERE deleted_at IS NULL;

-- payslips_at: when the slips of this version were stored; payslips_given: whether the source gives any.
CREATE TABLE mirror.payroll_run (
    ledger_id bigint NOT NULL,
    source text COLLATE "C" NOT NULL,
    external_id text COLLATE "C" NOT NULL,
    period_start date NOT NULL,
    period_end date NOT NULL,
    pay_date date NOT NULL,
    source_status text NOT NULL,
    currency text COLLATE "C" NOT NULL,
    gross bigint,
    employee_taxes bigint,
    deductions bigint,
    reimbursements bigint,
    net bigint NOT NULL,
    employer_taxes bigint,
    employer_contributions bigint,
    total_cost bigint,
    payslips_at timestamptz,
    payslips_given boolean,
    raw jsonb NOT NULL,
    content_hash bytea NOT NULL,
    first_seen timestamptz NOT NULL,
    changed_at timestamptz NOT NULL,
    missing_since timestamptz,
    deleted_at timestamptz,
    CONSTRAINT payroll_run_pkey PRIMARY KEY (ledger_id, source, external_id),
    CONSTRAINT payroll_run_ledger_fkey FOREIGN KEY (ledger_id) REFERENCES ledger.ledger (ledger_id)
);
CREATE INDEX payroll_run_by_date ON mirror.payroll_run (ledger_id, pay_date, source, external_id) WHERE deleted_at IS NULL;

-- Personal data: apart from the runs, and read for callers with the scope payroll:personal alone.
CREATE TABLE mirror.payslip (
    ledger_id bigint NOT NULL,
    source text COLLATE "C" NOT NULL,
    run_external_id text COLLATE "C" NOT NULL,
    external_id text COLLATE "C" NOT NULL,
    position integer NOT NULL,
    employee_id text NOT NULL,
    employee_name text NOT NULL,
    department text,
    gross bigint,
    net bigint NOT NULL,
    CONSTRAINT payslip_pkey PRIMARY KEY (ledger_id, source, run_external_id, external_id),
    CONSTRAINT payslip_run_fkey FOREIGN KEY (ledger_id, source, run_external_id)
        REFERENCES mirror.payroll_run (ledger_id, source, external_id)
);

-- currencies: of its statements and of the transactions that count; empty: it has none any more, and is deleted.
CREATE TABLE mirror.bank_account (
    ledger_id bigint NOT NULL,
    source text COLLATE "C" NOT NULL,
    external_id text COLLATE "C" NOT NULL,
    currency text COLLATE "C" NOT NULL,
    name text,
    iban text,
    currencies text[] NOT NULL DEFAULT '{}',
    first_seen timestamptz NOT NULL,
    deleted_at timestamptz,
    CONSTRAINT bank_account_pkey PRIMARY KEY (ledger_id, source, external_id),
    CONSTRAINT bank_account_ledger_fkey FOREIGN KEY (ledger_id) REFERENCES ledger.ledger (ledger_id)
);

-- ends_on: to_date, else the date of its last transaction, else from_date.
-- rank: place among the account's authoritative statements of one currency, oldest first; 0: provisional or deleted.
-- gap: a sentence when its opening balance is not the closing balance of the one before.
CREATE TABLE mirror.bank_statement (
    ledger_id bigint NOT NULL,
    source text COLLATE "C" NOT NULL,
    external_id text COLLATE "C" NOT NULL,
    account text COLLATE "C" NOT NULL,
    currency text COLLATE "C" NOT NULL,
    provisional boolean NOT NULL,
    from_date date,
    to_date date,
    ends_on date,
    opening bigint,
    closing bigint,
    closing_available bigint,
    warnings jsonb NOT NULL,
    rank integer NOT NULL DEFAULT 0,
    gap text,
    content_hash bytea NOT NULL,
    first_seen timestamptz NOT NULL,
    changed_at timestamptz NOT NULL,
    missing_since timestamptz,
    deleted_at timestamptz,
    CONSTRAINT bank_statement_pkey PRIMARY KEY (ledger_id, source, external_id),
    CONSTRAINT bank_statement_account_fkey FOREIGN KEY (ledger_id, source, account)
        REFERENCES mirror.bank_account (ledger_id, source, external_id)
);
CREATE INDEX bank_statement_by_account ON mirror.bank_statement (ledger_id, source, account, currency, rank);

-- dated_on: the date by which it counts: booked_on, else value_date, else its statement's ends_on.
-- listed_booked, listed_value: booked_on and value_date, else the last day there is.
-- visible: it is there, no authoritative statement covers it, and no better statement gives the same transaction.
CREATE TABLE mirror.bank_transaction (
    ledger_id bigint NOT NULL,
    source text COLLATE "C" NOT NULL,
    account text COLLATE "C" NOT NULL,
    external_id text COLLATE "C" NOT NULL,
    statement text COLLATE "C" NOT NULL,
    position integer NOT NULL,
    status text COLLATE "C" NOT NULL,
    amount bigint NOT NULL,
    currency text COLLATE "C" NOT NULL,
    booked_on date,
    value_date date,
    dated_on date,
    listed_booked date NOT NULL,
    listed_value date NOT NULL,
    description text,
    counterparty text,
    reference text,
    provisional boolean NOT NULL,
    visible boolean NOT NULL DEFAULT false,
    raw jsonb NOT NULL,
    first_seen timestamptz NOT NULL,
    changed_at timestamptz NOT NULL,
    deleted_at timestamptz,
    CONSTRAINT bank_transaction_pkey PRIMARY KEY (ledger_id, source, account, external_id, statement),
    CONSTRAINT bank_transaction_statement_fkey FOREIGN KEY (ledger_id, source, statement)
        REFERENCES mirror.bank_statement (ledger_id, source, external_id),
    CONSTRAINT bank_transaction_status_known CHECK (status IN ('BOOKED', 'PENDING'))
);
CREATE INDEX bank_transaction_by_date ON mirror.bank_transaction
    (ledger_id, source, account, listed_booked, listed_value, external_id) WHERE visible;
CREATE INDEX bank_transaction_by_count ON mirror.bank_transaction (ledger_id, source, account, status, dated_on)
    WHERE visible;
CREATE INDEX bank_transaction_provisional ON mirror.bank_transaction (ledger_id, source, account) WHERE provisional;
CREATE INDEX bank_transaction_by_statement ON mirror.bank_transaction (ledger_id, source, statement);

-- Which entry was made from which document. kind: invoice, payroll_run or bank_transaction; account: of a transaction.
CREATE TABLE mirror.document_entry (
    ledger_id bigint NOT NULL,
    source text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    account text COLLATE "C" NOT NULL DEFAULT '',
    external_id text COLLATE "C" NOT NULL,
    sequence bigint NOT NULL,
    CONSTRAINT document_entry_pkey PRIMARY KEY (ledger_id, source, kind, account, external_id, sequence),
    CONSTRAINT document_entry_kind_known CHECK (kind IN ('invoice', 'payroll_run', 'bank_transaction')),
    CONSTRAINT document_entry_entry_fkey FOREIGN KEY (ledger_id, sequence) REFERENCES ledger.entry (ledger_id, sequence)
);
CREATE INDEX document_entry_by_entry ON mirror.document_entry (ledger_id, sequence);
