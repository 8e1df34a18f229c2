-- The application role works within the caller's ledgers (see 0001_visibility.sql). Allocations never change; of a match only what
-- was decided does, of a rule only that it was removed.

GRANT USAGE ON SCHEMA matching TO ledgergraph_app;
GRANT SELECT, INSERT ON matching.state TO ledgergraph_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON matching.todo TO ledgergraph_app;
GRANT SELECT, INSERT, UPDATE ON matching.item TO ledgergraph_app;
GRANT SELECT, INSERT, DELETE ON matching.item_key TO ledgergraph_app;
GRANT SELECT, INSERT, UPDATE (removed_at, removed_by) ON matching.rule TO ledgergraph_app;
GRANT SELECT, INSERT, UPDATE (status, decided_at, decided_by) ON matching.match TO ledgergraph_app;
GRANT SELECT, INSERT ON matching.allocation TO ledgergraph_app;

ALTER TABLE matching.state ENABLE ROW LEVEL SECURITY;
ALTER TABLE matching.todo ENABLE ROW LEVEL SECURITY;
ALTER TABLE matching.item ENABLE ROW LEVEL SECURITY;
ALTER TABLE matching.item_key ENABLE ROW LEVEL SECURITY;
ALTER TABLE matching.rule ENABLE ROW LEVEL SECURITY;
ALTER TABLE matching.match ENABLE ROW LEVEL SECURITY;
ALTER TABLE matching.allocation ENABLE ROW LEVEL SECURITY;

CREATE POLICY visible ON matching.state TO ledgergraph_app
    USING ((SELECT ledger.sees_every_ledger()) OR ledger_id = ANY ((SELECT ledger.visible_ledgers())::bigint[]));
CREATE POLICY visible ON matching.todo TO ledgergraph_app
    USING ((SELECT ledger.sees_every_ledger()) OR ledger_id = ANY ((SELECT ledger.visible_ledgers())::bigint[]));
CREATE POLICY visible ON matching.item TO ledgergraph_app
    USING ((SELECT ledger.sees_every_ledger()) OR ledger_id = ANY ((SELECT ledger.visible_ledgers())::bigint[]));
CREATE POLICY visible ON matching.item_key TO ledgergraph_app
    USING ((SELECT ledger.sees_every_ledger()) OR ledger_id = ANY ((SELECT ledger.visible_ledgers())::bigint[]));
CREATE POLICY visible ON matching.rule TO ledgergraph_app
    USING ((SELECT ledger.sees_every_ledger()) OR ledger_id = ANY ((SELECT ledger.visible_ledgers())::bigint[]));
CREATE POLICY visible ON matching.match TO ledgergraph_app
    USING ((SELECT ledger.sees_every_ledger()) OR ledger_id = ANY ((SELECT ledger.visible_ledgers())::bigint[]));
CREATE POLICY visible ON matching.allocation TO ledgergraph_app
    USING ((SELECT ledger.sees_every_ledger()) OR ledger_id = ANY ((SELECT ledger.visible_ledgers())::bigint[]));
