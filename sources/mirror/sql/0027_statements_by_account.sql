-- The account first: a check of bank_transaction's foreign key looks a statement up by ledger, source and id, and while nothing is
-- known of the table's size it would take this index, and with it every statement of the source, for each transaction of a page.
DROP INDEX mirror.bank_statement_by_account;
CREATE INDEX bank_statement_by_account ON mirror.bank_statement (account, ledger_id, source, currency, rank);
