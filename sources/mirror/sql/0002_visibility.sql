-- The application role reads and writes the mirror, within the caller's ledgers (see 0001_visibility.sql).

GRANT USAGE ON SCHEMA mirror TO ledgergraph_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA mirror TO ledgergraph_app;

ALTER TABLE mirror.sync_run ENABLE ROW LEVEL SECURITY;
ALTER TABLE mirror.issue ENABLE ROW LEVEL SECURITY;
ALTER TABLE mirror.invoice ENABLE ROW LEVEL SECURITY;
ALTER TABLE mirror.payroll_run ENABLE ROW LEVEL SECURITY;
ALTER TABLE mirror.payslip ENABLE ROW LEVEL SECURITY;
ALTER TABLE mirror.bank_account ENABLE ROW LEVEL SECURITY;
ALTER TABLE mirror.bank_statement ENABLE ROW LEVEL SECURITY;
ALTER TABLE mirror.bank_transaction ENABLE ROW LEVEL SECURITY;
ALTER TABLE mirror.document_entry ENABLE ROW LEVEL SECURITY;

CREATE POLICY visible ON mirror.sync_run TO ledgergraph_app
    USING ((SELECT ledger.sees_every_ledger()) OR ledger_id = ANY ((SELECT ledger.visible_ledgers())::bigint[]));
CREATE POLICY visible ON mirror.issue TO ledgergraph_app
    USING ((SELECT ledger.sees_every_ledger()) OR ledger_id = ANY ((SELECT ledger.visible_ledgers())::bigint[]));
CREATE POLICY visible ON mirror.invoice TO ledgergraph_app
    USING ((SELECT ledger.sees_every_ledger()) OR ledger_id = ANY ((SELECT ledger.visible_ledgers())::bigint[]));
CREATE POLICY visible ON mirror.payroll_run TO ledgergraph_app
    USING ((SELECT ledger.sees_every_ledger()) OR ledger_id = ANY ((SELECT ledger.visible_ledgers())::bigint[]));
CREATE POLICY visible ON mirror.payslip TO ledgergraph_app
    USING ((SELECT ledger.sees_every_ledger()) OR ledger_id = ANY ((SELECT ledger.visible_ledgers())::bigint[]));
CREATE POLICY visible ON mirror.bank_account TO ledgergraph_app
    USING ((SELECT ledger.sees_every_ledger()) OR ledger_id = ANY ((SELECT ledger.visible_ledgers())::bigint[]));
CREATE POLICY visible ON mirror.bank_statement TO ledgergraph_app
    USING ((SELECT ledger.sees_every_ledger()) OR ledger_id = ANY ((SELECT ledger.visible_ledgers())::bigint[]));
CREATE POLICY visible ON mirror.bank_transaction TO ledgergraph_app
    USING ((SELECT ledger.sees_every_ledger()) OR ledger_id = ANY ((SELECT ledger.visible_ledgers())::bigint[]));
CREATE POLICY visible ON mirror.document_entry TO ledgergraph_app
    USING ((SELECT ledger.sees_every_ledger()) OR ledger_id = ANY ((SELECT ledger.visible_ledgers())::bigint[]));
