-- The ledger store. Foreign keys are where rows are few; what is inserted by the thousand (entries, lines, balances) is
-- proven set by set in 0001_proof.sql instead, with lookups whose plan no statistics can spoil.
-- Every key starts with ledger_id; only currency and ledger cross ledgers.
-- Money is bigint in minor units of the row's currency, debit positive. Text that is a key sorts by its bytes.

CREATE TABLE ledger.currency (
    code text COLLATE "C" NOT NULL,
    exponent smallint NOT NULL,
    CONSTRAINT currency_pkey PRIMARY KEY (code),
    CONSTRAINT currency_code_form CHECK (code ~ '^[A-Z]{3}$'),
    CONSTRAINT currency_exponent_range CHECK (exponent BETWEEN 0 AND 4)
);

CREATE TABLE ledger.ledger (
    ledger_id bigint GENERATED ALWAYS AS IDENTITY,
    code text COLLATE "C" NOT NULL,
    name text NOT NULL,
    functional_currency text COLLATE "C" NOT NULL,
    locked_through date,
    names_version bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT ledger_pkey PRIMARY KEY (ledger_id),
    CONSTRAINT ledger_code_key UNIQUE (code),
    CONSTRAINT ledger_functional_currency_fkey FOREIGN KEY (functional_currency) REFERENCES ledger.currency (code),
    CONSTRAINT ledger_code_form CHECK (code ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
    CONSTRAINT ledger_name_length CHECK (char_length(name) BETWEEN 1 AND 255)
);

-- The end of a ledger's chain. Whoever changes anything of a ledger locks this row first.
CREATE TABLE ledger.head (
    ledger_id bigint NOT NULL,
    last_sequence bigint NOT NULL DEFAULT 0,
    last_hash bytea NOT NULL,
    last_posted_at timestamptz NOT NULL DEFAULT '-infinity',
    CONSTRAINT head_pkey PRIMARY KEY (ledger_id),
    CONSTRAINT head_ledger_fkey FOREIGN KEY (ledger_id) REFERENCES ledger.ledger (ledger_id),
    CONSTRAINT head_hash_length CHECK (octet_length(last_hash) = 32)
) WITH (fillfactor = 50);

CREATE TABLE ledger.account (
    ledger_id bigint NOT NULL,
    account_id bigint GENERATED ALWAYS AS IDENTITY,
    code text COLLATE "C" NOT NULL,
    name text NOT NULL,
    type text COLLATE "C" NOT NULL,
    normal_side text COLLATE "C" NOT NULL,
    currency text COLLATE "C",
    parent_id bigint,
    active boolean NOT NULL DEFAULT true,
    CONSTRAINT account_code_key UNIQUE (ledger_id, code),
    CONSTRAINT account_pkey PRIMARY KEY (ledger_id, account_id),
    CONSTRAINT account_ledger_fkey FOREIGN KEY (ledger_id) REFERENCES ledger.ledger (ledger_id),
    CONSTRAINT account_currency_fkey FOREIGN KEY (currency) REFERENCES ledger.currency (code),
    CONSTRAINT account_parent_fkey FOREIGN KEY (ledger_id, parent_id) REFERENCES ledger.account (ledger_id, account_id),
    CONSTRAINT account_code_length CHECK (char_length(code) BETWEEN 1 AND 255),
    CONSTRAINT account_name_length CHECK (char_length(name) BETWEEN 1 AND 255),
    CONSTRAINT account_type_known CHECK (type IN ('ASSET', 'LIABILITY', 'EQUITY', 'REVENUE', 'EXPENSE')),
    CONSTRAINT account_side_known CHECK (normal_side IN ('DEBIT', 'CREDIT')),
    CONSTRAINT account_not_its_own_parent CHECK (parent_id <> account_id)
);

-- origin: '' for clients, else the name of the source. total: sum of functional debits.
CREATE TABLE ledger.entry (
    ledger_id bigint NOT NULL,
    sequence bigint NOT NULL,
    effective_date date NOT NULL,
    document_date date,
    posted_at timestamptz NOT NULL,
    posted_by text COLLATE "C" NOT NULL,
    journal text COLLATE "C",
    description text NOT NULL,
    reference text COLLATE "C",
    idempotency_key text COLLATE "C" NOT NULL,
    origin text COLLATE "C" NOT NULL DEFAULT '',
    reverses bigint,
    line_count integer NOT NULL,
    total bigint NOT NULL,
    body_hash bytea NOT NULL,
    hash bytea NOT NULL,
    canonical_version smallint NOT NULL,
    CONSTRAINT entry_key_key UNIQUE (ledger_id, origin, idempotency_key),
    CONSTRAINT entry_reverses_key UNIQUE (ledger_id, reverses),
    CONSTRAINT entry_sequence_positive CHECK (sequence > 0),
    CONSTRAINT entry_reverses_earlier CHECK (reverses < sequence),
    CONSTRAINT entry_line_count_range CHECK (line_count BETWEEN 2 AND 10000),
    CONSTRAINT entry_total_range CHECK (total >= 0),
    CONSTRAINT entry_key_length CHECK (char_length(idempotency_key) BETWEEN 1 AND 255),
    CONSTRAINT entry_description_length CHECK (char_length(description) BETWEEN 1 AND 1000),
    CONSTRAINT entry_date_range CHECK (effective_date BETWEEN '1900-01-01' AND '2199-12-31'),
    CONSTRAINT entry_hash_length CHECK (octet_length(body_hash) = 32 AND octet_length(hash) = 32)
);
CREATE INDEX entry_by_date ON ledger.entry (ledger_id, effective_date, sequence);
-- Among indexes that look equally good, as all do for an empty table, the planner takes the newest: make it this one.
ALTER TABLE ledger.entry ADD CONSTRAINT entry_pkey PRIMARY KEY (ledger_id, sequence);

-- amount 0 with a functional amount: a revaluation line. The two never point to opposite sides.
CREATE TABLE ledger.line (
    ledger_id bigint NOT NULL,
    sequence bigint NOT NULL,
    line_number integer NOT NULL,
    account_id bigint NOT NULL,
    effective_date date NOT NULL,
    currency text COLLATE "C" NOT NULL,
    amount bigint NOT NULL,
    functional_amount bigint NOT NULL,
    description text,
    tax_code text COLLATE "C",
    dimensions jsonb NOT NULL DEFAULT '{}',
    CONSTRAINT line_number_positive CHECK (line_number > 0),
    CONSTRAINT line_amount_range CHECK (amount BETWEEN -1000000000000000 AND 1000000000000000
        AND functional_amount BETWEEN -1000000000000000 AND 1000000000000000),
    CONSTRAINT line_not_empty CHECK (amount <> 0 OR functional_amount <> 0),
    CONSTRAINT line_one_side CHECK (sign(amount) * sign(functional_amount) >= 0)
);
CREATE INDEX line_by_account ON ledger.line (ledger_id, account_id, effective_date, sequence, line_number);
CREATE INDEX line_by_date ON ledger.line (ledger_id, effective_date, sequence, line_number);
ALTER TABLE ledger.line ADD CONSTRAINT line_pkey PRIMARY KEY (ledger_id, sequence, line_number);

-- Sums of lines by day, rolled up by month (its first day). Never negative; debit and credit are kept apart.
CREATE TABLE ledger.balance_day (
    ledger_id bigint NOT NULL,
    account_id bigint NOT NULL,
    currency text COLLATE "C" NOT NULL,
    day date NOT NULL,
    debit bigint NOT NULL,
    credit bigint NOT NULL,
    functional_debit bigint NOT NULL,
    functional_credit bigint NOT NULL,
    CONSTRAINT balance_day_pkey PRIMARY KEY (ledger_id, account_id, currency, day)
) WITH (fillfactor = 70);

CREATE TABLE ledger.balance_month (
    ledger_id bigint NOT NULL,
    account_id bigint NOT NULL,
    currency text COLLATE "C" NOT NULL,
    month date NOT NULL,
    debit bigint NOT NULL,
    credit bigint NOT NULL,
    functional_debit bigint NOT NULL,
    functional_credit bigint NOT NULL,
    CONSTRAINT balance_month_pkey PRIMARY KEY (ledger_id, account_id, currency, month),
    CONSTRAINT balance_month_first_day CHECK (extract(day FROM month) = 1)
) WITH (fillfactor = 70);
