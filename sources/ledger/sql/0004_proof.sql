-- The proof of lines, with the ends that 0004_posting.sql gives its lookups.

CREATE OR REPLACE FUNCTION ledger.prove_lines() RETURNS trigger
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
            AND entry.sequence <= arrived.sequence
        ORDER BY entry.sequence
        LIMIT 1
    ) AS stated ON true
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
            AND account.account_id <= arrived.account_id
        ORDER BY account.account_id
        LIMIT 1
    ) AS account ON true
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
