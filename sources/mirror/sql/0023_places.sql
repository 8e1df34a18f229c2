-- rank: the day on which the statement ends (day 1 is 1 January of year 1) times 2^24, and its place among the account's
-- authoritative statements of that day and currency, from 1 on; 0: provisional or deleted. So what changes moves its day alone.
ALTER TABLE mirror.bank_statement ALTER COLUMN rank TYPE bigint;
UPDATE mirror.bank_statement held SET rank = placed.rank
FROM (
    SELECT ledger_id, source, external_id, (coalesce(ends_on, date '0001-01-01') - date '0001-01-01' + 1)::bigint * 16777216
        + row_number() OVER (PARTITION BY ledger_id, source, account, currency, ends_on ORDER BY rank) AS rank
    FROM mirror.bank_statement WHERE rank > 0
) AS placed
WHERE held.ledger_id = placed.ledger_id AND held.source = placed.source AND held.external_id = placed.external_id;
CREATE INDEX bank_statement_odd ON mirror.bank_statement (ledger_id, source, account, currency, rank)
    WHERE rank > 0 AND (gap IS NOT NULL OR warnings <> '[]'::jsonb);
ANALYZE mirror.bank_statement;
