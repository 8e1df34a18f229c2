-- What the application role may see. The setting ledgergraph.ledgers holds the ledgers of the caller at work:
-- '*', or ids joined by commas; unset or empty: none. Policies read it once per statement (an InitPlan).

CREATE FUNCTION ledger.sees_every_ledger() RETURNS boolean
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN coalesce(current_setting('ledgergraph.ledgers', true), '') = '*';

CREATE FUNCTION ledger.visible_ledgers() RETURNS bigint[]
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN CASE WHEN ledger.sees_every_ledger() THEN '{}'::bigint[]
        ELSE string_to_array(nullif(current_setting('ledgergraph.ledgers', true), ''), ',')::bigint[] END;

REVOKE ALL ON FUNCTION ledger.sees_every_ledger(), ledger.visible_ledgers() FROM PUBLIC;
GRANT USAGE ON SCHEMA ledger TO ledgergraph_app;
GRANT EXECUTE ON FUNCTION ledger.sees_every_ledger(), ledger.visible_ledgers() TO ledgergraph_app;
GRANT SELECT ON ledger.schema_version, ledger.currency, ledger.ledger, ledger.head, ledger.account, ledger.entry,
    ledger.line, ledger.balance_day, ledger.balance_month TO ledgergraph_app;

ALTER TABLE ledger.ledger ENABLE ROW LEVEL SECURITY;
ALTER TABLE ledger.head ENABLE ROW LEVEL SECURITY;
ALTER TABLE ledger.account ENABLE ROW LEVEL SECURITY;
ALTER TABLE ledger.entry ENABLE ROW LEVEL SECURITY;
ALTER TABLE ledger.line ENABLE ROW LEVEL SECURITY;
ALTER TABLE ledger.balance_day ENABLE ROW LEVEL SECURITY;
ALTER TABLE ledger.balance_month ENABLE ROW LEVEL SECURITY;

CREATE POLICY visible ON ledger.ledger FOR SELECT TO ledgergraph_app
    USING ((SELECT ledger.sees_every_ledger()) OR ledger_id = ANY ((SELECT ledger.visible_ledgers())::bigint[]));
CREATE POLICY visible ON ledger.head FOR SELECT TO ledgergraph_app
    USING ((SELECT ledger.sees_every_ledger()) OR ledger_id = ANY ((SELECT ledger.visible_ledgers())::bigint[]));
CREATE POLICY visible ON ledger.account FOR SELECT TO ledgergraph_app
    USING ((SELECT ledger.sees_every_ledger()) OR ledger_id = ANY ((SELECT ledger.visible_ledgers())::bigint[]));
CREATE POLICY visible ON ledger.entry FOR SELECT TO ledgergraph_app
    USING ((SELECT ledger.sees_every_ledger()) OR ledger_id = ANY ((SELECT ledger.visible_ledgers())::bigint[]));
CREATE POLICY visible ON ledger.line FOR SELECT TO ledgergraph_app
    USING ((SELECT ledger.sees_every_ledger()) OR ledger_id = ANY ((SELECT ledger.visible_ledgers())::bigint[]));
CREATE POLICY visible ON ledger.balance_day FOR SELECT TO ledgergraph_app
    USING ((SELECT ledger.sees_every_ledger()) OR ledger_id = ANY ((SELECT ledger.visible_ledgers())::bigint[]));
CREATE POLICY visible ON ledger.balance_month FOR SELECT TO ledgergraph_app
    USING ((SELECT ledger.sees_every_ledger()) OR ledger_id = ANY ((SELECT ledger.visible_ledgers())::bigint[]));
