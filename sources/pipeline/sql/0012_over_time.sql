-- What a posting says without descriptions and without the values of rates (null: not known), so that neither posts anew.
ALTER TABLE pipeline.posting ADD COLUMN substance bytea,
    ADD CONSTRAINT posting_substance_length CHECK (octet_length(substance) = 32);
GRANT UPDATE (substance) ON pipeline.posting TO ledgergraph_app;

-- Up to which entry of a ledger was looked for reversals by hand of what documents posted.
CREATE TABLE pipeline.watch (
    ledger_id bigint NOT NULL,
    sequence bigint NOT NULL,
    CONSTRAINT watch_pkey PRIMARY KEY (ledger_id),
    CONSTRAINT watch_ledger_fkey FOREIGN KEY (ledger_id) REFERENCES ledger.ledger (ledger_id),
    CONSTRAINT watch_sequence_range CHECK (sequence >= 0)
);
GRANT SELECT, INSERT, UPDATE ON pipeline.watch TO ledgergraph_app;
ALTER TABLE pipeline.watch ENABLE ROW LEVEL SECURITY;
CREATE POLICY visible ON pipeline.watch TO ledgergraph_app
    USING ((SELECT ledger.sees_every_ledger()) OR ledger_id = ANY ((SELECT ledger.visible_ledgers())::bigint[]));

-- Who recorded a rate (a caller, '' where nobody was asked: of before, and from the command line), beside whose it is.
ALTER TABLE ledger.rate ADD COLUMN recorded_by text COLLATE "C" NOT NULL DEFAULT '',
    ADD CONSTRAINT rate_recorded_by_length CHECK (char_length(recorded_by) <= 255);
DROP FUNCTION ledger.set_rates(text[], text[], text[], date[], numeric[], text);
CREATE FUNCTION ledger.set_rates(p_bases text[], p_quotes text[], p_types text[], p_dates date[], p_rates numeric[],
    p_source text, p_by text) RETURNS bigint
    LANGUAGE plpgsql
    SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    written bigint;
BEGIN
    INSERT INTO ledger.rate AS held (base, quote, type, on_date, rate, source, recorded_at, recorded_by)
    SELECT stated.base, stated.quote, stated.type, stated.on_date, stated.rate, p_source, clock_timestamp(), p_by
    FROM unnest(p_bases, p_quotes, p_types, p_dates, p_rates) AS stated (base, quote, type, on_date, rate)
    ORDER BY stated.base, stated.quote, stated.type, stated.on_date
    ON CONFLICT (base, quote, type, on_date) DO UPDATE
    SET rate = excluded.rate, source = excluded.source, recorded_at = excluded.recorded_at, recorded_by = excluded.recorded_by
    WHERE held.rate <> excluded.rate;
    GET DIAGNOSTICS written = ROW_COUNT;
    RETURN written;
END
$$;
REVOKE ALL ON FUNCTION ledger.set_rates FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ledger.set_rates TO ledgergraph_app;
