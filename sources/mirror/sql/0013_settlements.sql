CREATE INDEX invoice_credited ON mirror.invoice (ledger_id, source, (raw ->> 'invoice')) WHERE kind = 'CREDIT_NOTE';
CREATE INDEX payment_by_parent ON mirror.payment (ledger_id, source, parent_external_id) WHERE parent_external_id IS NOT NULL;
