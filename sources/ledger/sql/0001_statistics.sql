-- Tells the query planner how large the ledger's tables are. The application's role owns none of them, and a ledger that
-- was just filled would be read by plans for empty tables until autovacuum comes by. One process at a time.
CREATE FUNCTION ledger.refresh_statistics() RETURNS void
    LANGUAGE plpgsql
    SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF pg_try_advisory_xact_lock(1818584941) THEN
        ANALYZE ledger.account, ledger.entry, ledger.line, ledger.balance_day, ledger.balance_month;
    END IF;
END
$$;

REVOKE ALL ON FUNCTION ledger.refresh_statistics FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ledger.refresh_statistics TO ledgergraph_app;
