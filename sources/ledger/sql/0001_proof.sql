-- The second proof, behind the posting function: whatever inserts, an entry's lines arrive whole, in one statement, and
-- balance; they name an entry, accounts and currencies that exist; a reversal has its original; and nothing that was posted
-- changes, for anyone, the owner included.
--
-- Lines cannot be added later: a statement has to bring lines 1..line_count of an entry, which the primary key refuses
-- when they are there already. An entry whose lines did not come fails at commit (entry_has_lines).
--
-- Why not foreign keys: their lookups keep the plan that was made while a table was empty, with whichever index looked as
-- good as the right one then, and read a whole ledger for each line when it has grown. Here every lookup takes the first
-- row at or behind its key in index order, which one index alone can give.

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

    SELECT arrived.sequence,
        CASE
            WHEN account.account_id IS NULL THEN 'line_has_account'
            WHEN currency.code IS NULL THEN 'line_has_currency'
            ELSE 'line_currency_fits'
        END AS broken
    INTO bad
    FROM (
        SELECT ledger_id, account_id, currency, min(sequence) AS sequence
        FROM new_lines
        GROUP BY ledger_id, account_id, currency
    ) AS arrived
    LEFT JOIN LATERAL (
        SELECT account.account_id, account.currency
        FROM ledger.account
        WHERE account.ledger_id = arrived.ledger_id AND account.account_id >= arrived.account_id
        ORDER BY account.account_id
        LIMIT 1
    ) AS account ON account.account_id = arrived.account_id
    LEFT JOIN ledger.currency ON currency.code = arrived.currency
    WHERE account.account_id IS NULL OR currency.code IS NULL OR account.currency <> arrived.currency
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

CREATE FUNCTION ledger.prove_entry() RETURNS trigger
    LANGUAGE plpgsql
AS $$
DECLARE
    last_line integer;
    original record;
    broken text;
BEGIN
    SELECT line.line_number INTO last_line
    FROM ledger.line
    WHERE line.ledger_id = NEW.ledger_id AND line.sequence = NEW.sequence
    ORDER BY line.line_number DESC
    LIMIT 1;
    IF last_line IS DISTINCT FROM NEW.line_count THEN
        broken := 'entry_has_lines';
    ELSIF NEW.reverses IS NOT NULL THEN
        SELECT entry.sequence, entry.line_count, entry.total, entry.effective_date INTO original
        FROM ledger.entry
        WHERE entry.ledger_id = NEW.ledger_id AND entry.sequence >= NEW.reverses
        ORDER BY entry.sequence
        LIMIT 1;
        IF (original.sequence, original.line_count, original.total)
                IS DISTINCT FROM (NEW.reverses, NEW.line_count, NEW.total)
            OR NEW.effective_date < original.effective_date THEN
            broken := 'entry_mirrors_original';
        END IF;
    END IF;
    IF broken IS NOT NULL THEN
        RAISE EXCEPTION 'entry % was refused: %', NEW.sequence, broken
            USING ERRCODE = 'check_violation', CONSTRAINT = broken, SCHEMA = 'ledger', TABLE = 'entry';
    END IF;
    RETURN NULL;
END
$$;

CREATE CONSTRAINT TRIGGER entry_has_lines AFTER INSERT ON ledger.entry
    DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION ledger.prove_entry();

CREATE FUNCTION ledger.refuse_change() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION 'what was posted stays: % on %.% is refused; post a reversal instead',
        TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END
$$;

CREATE TRIGGER posted_rows_never_change BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.entry
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change();
CREATE TRIGGER posted_rows_never_change BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.line
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change();
CREATE TRIGGER accounts_stay BEFORE DELETE OR TRUNCATE ON ledger.account
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change();
ALTER TABLE ledger.entry ENABLE ALWAYS TRIGGER posted_rows_never_change;
ALTER TABLE ledger.entry ENABLE ALWAYS TRIGGER entry_has_lines;
ALTER TABLE ledger.account ENABLE ALWAYS TRIGGER accounts_stay;
ALTER TABLE ledger.line ENABLE ALWAYS TRIGGER posted_rows_never_change;
ALTER TABLE ledger.line ENABLE ALWAYS TRIGGER lines_are_whole_and_balance;
REVOKE ALL ON FUNCTION ledger.prove_lines(), ledger.prove_entry(), ledger.refuse_change() FROM PUBLIC;
