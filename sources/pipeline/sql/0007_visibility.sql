-- The application role works within the caller's ledgers (see 0001_visibility.sql). Only what is done is deleted, and of a
-- stored rule set only whether it is active can change; what a posting or proposal is of never does.

GRANT USAGE ON SCHEMA mapping, pipeline TO ledgergraph_app;
GRANT SELECT, INSERT, UPDATE (active) ON mapping.ruleset TO ledgergraph_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON pipeline.todo TO ledgergraph_app;
GRANT SELECT, INSERT, UPDATE ON pipeline.document TO ledgergraph_app;
GRANT SELECT, INSERT, UPDATE (outcome, status, sequence, reversal_sequence, effective_date) ON pipeline.posting TO ledgergraph_app;
GRANT SELECT, INSERT, UPDATE (draft, decision, decided_at, decided_by) ON pipeline.proposal TO ledgergraph_app;
REVOKE UPDATE ON mirror.document_entry FROM ledgergraph_app;

ALTER TABLE mapping.ruleset ENABLE ROW LEVEL SECURITY;
ALTER TABLE pipeline.todo ENABLE ROW LEVEL SECURITY;
ALTER TABLE pipeline.document ENABLE ROW LEVEL SECURITY;
ALTER TABLE pipeline.posting ENABLE ROW LEVEL SECURITY;
ALTER TABLE pipeline.proposal ENABLE ROW LEVEL SECURITY;

CREATE POLICY visible ON mapping.ruleset TO ledgergraph_app
    USING ((SELECT ledger.sees_every_ledger()) OR ledger_id = ANY ((SELECT ledger.visible_ledgers())::bigint[]));
CREATE POLICY visible ON pipeline.todo TO ledgergraph_app
    USING ((SELECT ledger.sees_every_ledger()) OR ledger_id = ANY ((SELECT ledger.visible_ledgers())::bigint[]));
CREATE POLICY visible ON pipeline.document TO ledgergraph_app
    USING ((SELECT ledger.sees_every_ledger()) OR ledger_id = ANY ((SELECT ledger.visible_ledgers())::bigint[]));
CREATE POLICY visible ON pipeline.posting TO ledgergraph_app
    USING ((SELECT ledger.sees_every_ledger()) OR ledger_id = ANY ((SELECT ledger.visible_ledgers())::bigint[]));
CREATE POLICY visible ON pipeline.proposal TO ledgergraph_app
    USING ((SELECT ledger.sees_every_ledger()) OR ledger_id = ANY ((SELECT ledger.visible_ledgers())::bigint[]));
