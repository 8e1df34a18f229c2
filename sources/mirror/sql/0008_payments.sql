-- Movements of our accounts at payment processors: signed minor units of the account's currency, money in is positive;
-- net = amount - fee is what its balance changes by (fee, net NULL: the source does not state them).
-- presented_amount, presented_currency: what the payer paid or got, where that is another currency.
-- payout_external_id: the payout that paid it out, as far as one of the source's payouts or itself has said so: it may come
-- later than the payment, and is no part of content_hash. paid_out: of a payout, external ids of what it pays out.

CREATE TABLE mirror.payment (
    ledger_id bigint NOT NULL,
    source text COLLATE "C" NOT NULL,
    external_id text COLLATE "C" NOT NULL,
    type text COLLATE "C" NOT NULL,
    status text COLLATE "C" NOT NULL,
    source_status text NOT NULL,
    currency text COLLATE "C" NOT NULL,
    amount bigint NOT NULL,
    fee bigint,
    net bigint,
    presented_amount bigint,
    presented_currency text COLLATE "C",
    occurred_on date NOT NULL,
    available_on date,
    party_name text,
    party_external_id text,
    party_tax_id text,
    invoice_external_id text COLLATE "C",
    payout_external_id text COLLATE "C",
    parent_external_id text COLLATE "C",
    description text,
    reference text,
    bank_account text COLLATE "C",
    paid_out jsonb NOT NULL,
    raw jsonb NOT NULL,
    content_hash bytea NOT NULL,
    first_seen timestamptz NOT NULL,
    changed_at timestamptz NOT NULL,
    missing_since timestamptz,
    deleted_at timestamptz,
    CONSTRAINT payment_pkey PRIMARY KEY (ledger_id, source, external_id),
    CONSTRAINT payment_ledger_fkey FOREIGN KEY (ledger_id) REFERENCES ledger.ledger (ledger_id),
    CONSTRAINT payment_type_known CHECK (type IN ('PAYMENT', 'REFUND', 'FEE', 'DISPUTE', 'PAYOUT', 'TRANSFER')),
    CONSTRAINT payment_status_known CHECK (status IN ('PENDING', 'SUCCEEDED', 'FAILED', 'CANCELED')),
    CONSTRAINT payment_net_adds_up CHECK (net = amount - fee)
);
CREATE INDEX payment_by_date ON mirror.payment (ledger_id, occurred_on, source, external_id) WHERE deleted_at IS NULL;
CREATE INDEX payment_by_invoice ON mirror.payment (ledger_id, source, invoice_external_id)
    WHERE invoice_external_id IS NOT NULL;
CREATE INDEX payment_by_payout ON mirror.payment (ledger_id, source, payout_external_id)
    WHERE payout_external_id IS NOT NULL;

GRANT SELECT, INSERT, UPDATE, DELETE ON mirror.payment TO ledgergraph_app;
ALTER TABLE mirror.payment ENABLE ROW LEVEL SECURITY;
CREATE POLICY visible ON mirror.payment TO ledgergraph_app
    USING ((SELECT ledger.sees_every_ledger()) OR ledger_id = ANY ((SELECT ledger.visible_ledgers())::bigint[]));

ALTER TABLE mirror.document_entry
    DROP CONSTRAINT document_entry_kind_known,
    ADD CONSTRAINT document_entry_kind_known CHECK (kind IN ('invoice', 'payroll_run', 'bank_transaction', 'payment'));
