-- The second proof, behind the posting function: whatever inserts lines, an entry's lines arrive whole, in one
-- statement, and balance; and nothing that was posted changes, for anyone, the owner included.
--
-- Lines cannot be added later: a statement has to bring lines 1..line_count of an entry, which the primary key refuses
-- when they are there already. An entry without lines fails at commit (entry_last_line_fkey).

CREATE FUNCTION ledger.prove_lines() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    SET enable_sort = off
    SET jit = off
AS $$
DECLARE
    bad record;
BEGIN
    SELECT arrived.sequence,
        CASE
            WHEN stated.sequence IS NULL THEN 'line_has_entry'
            WHEN arrived.lines <> stated.line_count OR arrived.last_line <> stated.line_count THEN 'line_count_matches'
            WHEN arrived.dates <> 1 OR arrived.date <> stated.effective_date THEN 'line_date_matches'
            WHEN arrived.functional_net <> 0 THEN 'line_functional_balances'
            WHEN arrived.currencies = 1 AND arrived.net <> 0 THEN 'line_balances'
            WHEN arrived.total <> stated.total THEN 'line_total_matches'
        END AS broken
    INTO bad
    FROM (
        SELECT ledger_id, sequence, count(*) AS lines, max(line_number) AS last_line,
            sum(functional_amount) AS functional_net, sum(amount) AS net,
            coalesce(sum(functional_amount) FILTER (WHERE functional_amount > 0), 0) AS total,
            CASE WHEN min(currency) = max(currency) THEN 1 ELSE 2 END AS currencies,
            CASE WHEN min(effective_date) = max(effective_date) THEN 1 ELSE 2 END AS dates,
            min(effective_date) AS date
        FROM new_lines
        GROUP BY ledger_id, sequence
    ) AS arrived
    LEFT JOIN LATERAL (
        SELECT entry.sequence, entry.line_count, entry.total, entry.effective_date
        FROM ledger.entry
        WHERE entry.ledger_id = arrived.ledger_id AND entry.sequence >= arrived.sequence
        ORDER BY entry.sequence
        LIMIT 1
    ) AS stated ON stated.sequence = arrived.sequence
    WHERE stated.sequence IS NULL
        OR arrived.lines <> stated.line_count OR arrived.last_line <> stated.line_count
        OR arrived.dates <> 1 OR arrived.date <> stated.effective_date
        OR arrived.functional_net <> 0
        OR (arrived.currencies = 1 AND arrived.net <> 0)
        OR arrived.total <> stated.total
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'the lines of entry % were refused: %', bad.sequence, bad.broken
            USING ERRCODE = 'check_violation', CONSTRAINT = bad.broken, SCHEMA = 'ledger', TABLE = 'line';
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER lines_are_whole_and_balance AFTER INSERT ON ledger.line
    REFERENCING NEW TABLE AS new_lines
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.prove_lines();

CREATE FUNCTION ledger.refuse_change() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION 'posted rows never change: % on %.% is refused; post a reversal instead',
        TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END
$$;

CREATE TRIGGER posted_rows_never_change BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.entry
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change();
CREATE TRIGGER posted_rows_never_change BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.line
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change();
ALTER TABLE ledger.entry ENABLE ALWAYS TRIGGER posted_rows_never_change;
ALTER TABLE ledger.line ENABLE ALWAYS TRIGGER posted_rows_never_change;
ALTER TABLE ledger.line ENABLE ALWAYS TRIGGER lines_are_whole_and_balance;
REVOKE ALL ON FUNCTION ledger.prove_lines(), ledger.refuse_change() FROM PUBLIC;
