-- Exchange rates: on_date, one unit of base is worth `rate` units of quote. They belong to no ledger. type: what the rate
-- is good for (spot, closing, average …); source: who says so (a file's name, a caller).
CREATE TABLE ledger.rate (
    base text COLLATE "C" NOT NULL,
    quote text COLLATE "C" NOT NULL,
    type text COLLATE "C" NOT NULL,
    on_date date NOT NULL,
    rate numeric NOT NULL,
    source text COLLATE "C" NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT rate_pkey PRIMARY KEY (base, quote, type, on_date),
    CONSTRAINT rate_base_fkey FOREIGN KEY (base) REFERENCES ledger.currency (code),
    CONSTRAINT rate_quote_fkey FOREIGN KEY (quote) REFERENCES ledger.currency (code),
    CONSTRAINT rate_of_two_currencies CHECK (base <> quote),
    CONSTRAINT rate_type_form CHECK (type ~ '^[a-z][a-z0-9_-]{0,30}$'),
    CONSTRAINT rate_date_range CHECK (on_date BETWEEN '1900-01-01' AND '2199-12-31'),
    -- NaN is greater than every number.
    CONSTRAINT rate_range CHECK (rate > 0 AND rate < 1000000000000),
    CONSTRAINT rate_source_length CHECK (char_length(source) BETWEEN 1 AND 255)
);
-- Documents of a few days ask for whatever rates those days have.
CREATE INDEX rate_by_date ON ledger.rate (on_date);

-- Rates of one source, as arrays of one length without repeated keys. A rate that stands there already, the same, is left
-- alone with its source. Answers with the number of those that are new or changed.
CREATE FUNCTION ledger.set_rates(p_bases text[], p_quotes text[], p_types text[], p_dates date[], p_rates numeric[],
    p_source text) RETURNS bigint
    LANGUAGE plpgsql
    SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    written bigint;
BEGIN
    INSERT INTO ledger.rate AS held (base, quote, type, on_date, rate, source, recorded_at)
    SELECT stated.base, stated.quote, stated.type, stated.on_date, stated.rate, p_source, clock_timestamp()
    FROM unnest(p_bases, p_quotes, p_types, p_dates, p_rates) AS stated (base, quote, type, on_date, rate)
    ORDER BY stated.base, stated.quote, stated.type, stated.on_date
    ON CONFLICT (base, quote, type, on_date) DO UPDATE
    SET rate = excluded.rate, source = excluded.source, recorded_at = excluded.recorded_at
    WHERE held.rate <> excluded.rate;
    GET DIAGNOSTICS written = ROW_COUNT;
    RETURN written;
END
$$;

REVOKE ALL ON FUNCTION ledger.set_rates FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ledger.set_rates TO ledgergraph_app;
GRANT SELECT ON ledger.rate TO ledgergraph_app;
