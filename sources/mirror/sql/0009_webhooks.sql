-- What source systems delivered by webhook, each delivery once, kept for 30 days. It only says that something happened: what
-- the mirror holds comes from a pull. headers: what helps to tell deliveries apart, no signature. processed_at: a pull that
-- began after it was received has come to its end.
CREATE TABLE mirror.webhook (
    source text COLLATE "C" NOT NULL,
    delivery_id text COLLATE "C" NOT NULL,
    received_at timestamptz NOT NULL,
    headers jsonb NOT NULL,
    body bytea NOT NULL,
    processed_at timestamptz,
    CONSTRAINT webhook_pkey PRIMARY KEY (source, delivery_id),
    CONSTRAINT webhook_delivery_length CHECK (char_length(delivery_id) BETWEEN 1 AND 255),
    CONSTRAINT webhook_headers_size CHECK (octet_length(headers::text) <= 4000),
    CONSTRAINT webhook_body_size CHECK (octet_length(body) <= 1000000)
);
CREATE INDEX webhook_by_arrival ON mirror.webhook (received_at);
CREATE INDEX webhook_waiting ON mirror.webhook (source, received_at) WHERE processed_at IS NULL;

-- A delivery belongs to a source, which may feed several ledgers, so no ledger's claim could guard it: the application role
-- writes bodies and headers, and cannot read them.
GRANT SELECT (source, delivery_id, received_at, processed_at), INSERT, UPDATE (processed_at), DELETE
    ON mirror.webhook TO ledgergraph_app;

-- Lists of issues are of those that are open, as a rule; the newest come first.
CREATE INDEX issue_open ON mirror.issue (ledger_id, opened_at, source, code, subject) WHERE closed_at IS NULL;
