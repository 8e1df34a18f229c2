-- Which documents a bank transaction is about. Every key starts with ledger_id; a document is named by kind, source, account
-- ('' but for bank transactions) and external_id. Amounts are signed as money moves: in is positive. Rows come from documents of
-- the mirror by the pipeline alone, so they have no foreign keys to it.

CREATE SCHEMA matching;

-- Ledgers that have bank transactions: from then on their documents are noted for matching.
CREATE TABLE matching.state (
    ledger_id bigint NOT NULL,
    since timestamptz NOT NULL,
    CONSTRAINT state_pkey PRIMARY KEY (ledger_id),
    CONSTRAINT state_ledger_fkey FOREIGN KEY (ledger_id) REFERENCES ledger.ledger (ledger_id)
);

-- Documents that the pipeline has dealt with, and matching has not looked at since. change: another number with each.
CREATE TABLE matching.todo (
    ledger_id bigint NOT NULL,
    kind text COLLATE "C" NOT NULL,
    source text COLLATE "C" NOT NULL,
    account text COLLATE "C" NOT NULL DEFAULT '',
    external_id text COLLATE "C" NOT NULL,
    change bigint GENERATED ALWAYS AS IDENTITY,
    CONSTRAINT todo_pkey PRIMARY KEY (ledger_id, kind, source, account, external_id)
) WITH (autovacuum_vacuum_scale_factor = 0.1, autovacuum_vacuum_threshold = 1000);
CREATE INDEX todo_by_turn ON matching.todo (ledger_id, change);

-- What money may be about, or is: an invoice, a payout, a payroll run, a bank transaction. amount: what of it can be allocated
-- at most; used: what is. Of a bank transaction, used is what its own match says and less what others allocate to it.
-- due: what its source says is due now, 0: nothing. expected: what a payment of the rest would be. party: its name, without
-- what banks and people write differently; party_id: in the source. payer: account of the other side of a bank transaction.
-- ready: it stands, and may be matched. side: what it is booked on.
CREATE TABLE matching.item (
    ledger_id bigint NOT NULL,
    kind text COLLATE "C" NOT NULL,
    source text COLLATE "C" NOT NULL,
    account text COLLATE "C" NOT NULL DEFAULT '',
    external_id text COLLATE "C" NOT NULL,
    side text COLLATE "C" NOT NULL,
    currency text COLLATE "C" NOT NULL,
    amount bigint NOT NULL,
    used bigint NOT NULL DEFAULT 0,
    due bigint NOT NULL DEFAULT 0,
    expected bigint GENERATED ALWAYS AS
        (CASE WHEN due <> 0 AND abs(due) < abs(amount - used) THEN due ELSE amount - used END) STORED,
    ready boolean NOT NULL,
    dated date NOT NULL,
    due_on date,
    number text COLLATE "C",
    party text COLLATE "C" NOT NULL DEFAULT '',
    party_id text COLLATE "C",
    payer text COLLATE "C",
    CONSTRAINT item_pkey PRIMARY KEY (ledger_id, kind, source, account, external_id),
    CONSTRAINT item_ledger_fkey FOREIGN KEY (ledger_id) REFERENCES ledger.ledger (ledger_id),
    CONSTRAINT item_kind_known CHECK (kind IN ('invoice', 'payment', 'payroll_run', 'bank_transaction')),
    CONSTRAINT item_side_known CHECK (side IN ('receivable', 'paid_elsewhere', 'payable', 'clearing')),
    CONSTRAINT item_used_fits CHECK (used = 0 OR (sign(used) = sign(amount) AND abs(used) <= abs(amount))),
    CONSTRAINT item_due_fits CHECK (due = 0 OR sign(due) = sign(amount))
);
CREATE INDEX item_by_amount ON matching.item (ledger_id, kind, currency, expected, dated) WHERE ready AND used <> amount;
CREATE INDEX item_by_party ON matching.item (ledger_id, kind, party, dated) WHERE ready AND used <> amount AND party <> '';
CREATE INDEX item_of_name ON matching.item (ledger_id, party) WHERE kind = 'invoice' AND party <> '';
CREATE INDEX item_of_account ON matching.item (ledger_id, source, account, amount, dated) WHERE kind = 'bank_transaction';
CREATE INDEX item_unmatched ON matching.item (ledger_id, dated, source, account, external_id)
    WHERE kind = 'bank_transaction' AND ready AND used <> amount;

-- What numbers and texts have in common: of a document the forms in which its number is written, of a bank transaction what of
-- its text may be such a number. Rows come by the dozen for each item, so they have no foreign key to it.
CREATE TABLE matching.item_key (
    ledger_id bigint NOT NULL,
    key text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    source text COLLATE "C" NOT NULL,
    account text COLLATE "C" NOT NULL DEFAULT '',
    external_id text COLLATE "C" NOT NULL,
    CONSTRAINT item_key_pkey PRIMARY KEY (ledger_id, key, kind, source, account, external_id)
);
-- The id first: on a table that was never analysed the planner takes this index for lookups by key, were the kind first.
CREATE INDEX item_key_by_item ON matching.item_key (ledger_id, external_id, source, account, kind);

-- What people taught, each in words that can be read, and removed. PAYER: who pays from payer_account, or by the name payer_name,
-- is the party. ACCOUNT: what holds the words of `pattern`, in this direction, goes to the ledger account. NEVER: this bank
-- transaction is not about the document of the match match_id, or not about its documents together. match_id: what taught it.
CREATE TABLE matching.rule (
    ledger_id bigint NOT NULL,
    rule_id bigint NOT NULL,
    type text COLLATE "C" NOT NULL,
    payer_account text COLLATE "C",
    payer_name text COLLATE "C",
    party text COLLATE "C",
    pattern text COLLATE "C",
    money_in boolean,
    ledger_account text COLLATE "C",
    transaction_source text COLLATE "C",
    transaction_account text COLLATE "C",
    transaction_external_id text COLLATE "C",
    match_id bigint,
    created_at timestamptz NOT NULL,
    created_by text COLLATE "C" NOT NULL,
    removed_at timestamptz,
    removed_by text COLLATE "C",
    CONSTRAINT rule_pkey PRIMARY KEY (ledger_id, rule_id),
    CONSTRAINT rule_ledger_fkey FOREIGN KEY (ledger_id) REFERENCES ledger.ledger (ledger_id),
    CONSTRAINT rule_type_known CHECK (type IN ('PAYER', 'ACCOUNT', 'NEVER')),
    CONSTRAINT rule_whole CHECK (CASE type
        WHEN 'PAYER' THEN party IS NOT NULL AND num_nonnulls(payer_account, payer_name) = 1
        WHEN 'ACCOUNT' THEN num_nonnulls(pattern, money_in, ledger_account) = 3
        ELSE num_nonnulls(transaction_source, transaction_account, transaction_external_id, match_id) = 4
        END),
    CONSTRAINT rule_removal_whole CHECK ((removed_at IS NULL) = (removed_by IS NULL))
);
CREATE UNIQUE INDEX rule_in_force ON matching.rule (ledger_id, type, payer_account, payer_name, party, pattern, money_in, ledger_account)
    NULLS NOT DISTINCT WHERE removed_at IS NULL AND type <> 'NEVER';
CREATE INDEX rule_by_payer ON matching.rule (ledger_id, payer_account, payer_name) WHERE type = 'PAYER' AND removed_at IS NULL;
CREATE INDEX rule_by_transaction ON matching.rule (ledger_id, transaction_source, transaction_account, transaction_external_id)
    WHERE type = 'NEVER' AND removed_at IS NULL;

-- What a bank transaction (source, account, external_id) is about. CERTAIN: found, and posted; PROPOSED: waits for a person, several
-- may; CONFIRMED: by a person; REJECTED: by a person; WITHDRAWN: by a person, or as what it was about has changed.
-- reasons: [{"code", "points", "message"}], without names of people. returns: the match that it takes back, as its money came back.
-- Numbers of matches and rules count by ledger, whose claim of the pipeline every writer holds.
CREATE TABLE matching.match (
    ledger_id bigint NOT NULL,
    match_id bigint NOT NULL,
    source text COLLATE "C" NOT NULL,
    account text COLLATE "C" NOT NULL,
    external_id text COLLATE "C" NOT NULL,
    status text COLLATE "C" NOT NULL,
    score integer NOT NULL,
    reasons jsonb NOT NULL,
    rule_id bigint,
    returns bigint,
    created_at timestamptz NOT NULL,
    decided_at timestamptz,
    decided_by text COLLATE "C",
    CONSTRAINT match_pkey PRIMARY KEY (ledger_id, match_id),
    CONSTRAINT match_ledger_fkey FOREIGN KEY (ledger_id) REFERENCES ledger.ledger (ledger_id),
    CONSTRAINT match_status_known CHECK (status IN ('CERTAIN', 'PROPOSED', 'CONFIRMED', 'REJECTED', 'WITHDRAWN')),
    CONSTRAINT match_score_range CHECK (score BETWEEN 0 AND 100),
    CONSTRAINT match_decided_whole CHECK ((decided_at IS NULL) = (decided_by IS NULL))
);
CREATE UNIQUE INDEX match_live ON matching.match (ledger_id, source, account, external_id)
    WHERE status IN ('CERTAIN', 'CONFIRMED');
CREATE INDEX match_of_transaction ON matching.match (ledger_id, source, account, external_id, status);
CREATE INDEX match_returning ON matching.match (ledger_id, returns) WHERE returns IS NOT NULL;
CREATE INDEX match_proposed ON matching.match (ledger_id, match_id) WHERE status = 'PROPOSED';

-- Parts of a match, in their order. kind, source, account, external_id: the document; or kind alone: fee (the bank kept it),
-- write_off (nobody pays it), on_account (stays with the party), account (a ledger account, in external_id).
-- amount: in the document's currency; bank_amount: in the transaction's. Those of a match sum to at most the transaction.
-- booked_on: the day whose rate the document is in the books by. What is posted of it depends on nothing but this row.
CREATE TABLE matching.allocation (
    ledger_id bigint NOT NULL,
    match_id bigint NOT NULL,
    position integer NOT NULL,
    kind text COLLATE "C" NOT NULL,
    source text COLLATE "C" NOT NULL DEFAULT '',
    account text COLLATE "C" NOT NULL DEFAULT '',
    external_id text COLLATE "C" NOT NULL DEFAULT '',
    side text COLLATE "C" NOT NULL,
    currency text COLLATE "C" NOT NULL,
    amount bigint NOT NULL,
    bank_amount bigint NOT NULL,
    booked_on date,
    number text COLLATE "C",
    party_id text COLLATE "C",
    CONSTRAINT allocation_pkey PRIMARY KEY (ledger_id, match_id, position),
    CONSTRAINT allocation_match_fkey FOREIGN KEY (ledger_id, match_id) REFERENCES matching.match (ledger_id, match_id),
    CONSTRAINT allocation_kind_known CHECK (kind IN
        ('invoice', 'payment', 'payroll_run', 'bank_transaction', 'fee', 'write_off', 'on_account', 'account')),
    CONSTRAINT allocation_side_known CHECK (side IN
        ('receivable', 'payable', 'clearing', 'fees', 'write_off', 'account')),
    CONSTRAINT allocation_moves CHECK (amount <> 0 AND sign(amount) = sign(bank_amount))
);
CREATE INDEX allocation_of_document ON matching.allocation (ledger_id, kind, source, account, external_id);

-- The statement first: on a table that was never analysed the planner takes this index for a transaction by its key, and reads all of
-- the source's, were the source first.
DROP INDEX mirror.bank_transaction_by_statement;
CREATE INDEX bank_transaction_by_statement ON mirror.bank_transaction (ledger_id, statement, source);
