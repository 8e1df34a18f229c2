-- Those that count no more since a statement came, and those that count again since one went, are few among years of intraday reports.
DROP INDEX mirror.bank_transaction_provisional;
CREATE INDEX bank_transaction_provisional ON mirror.bank_transaction (ledger_id, source, account, dated_on)
    WHERE provisional AND visible;
CREATE INDEX bank_transaction_superseded ON mirror.bank_transaction (ledger_id, source, account, dated_on)
    WHERE provisional AND NOT visible;
