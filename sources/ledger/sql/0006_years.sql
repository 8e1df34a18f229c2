-- Balances are rolled up per year too, so that what a balance at any date reads does not grow with the months of a ledger.

-- Postings wait for this lock before they fold anything: none is half in the months that the years begin as.
LOCK TABLE ledger.head IN EXCLUSIVE MODE;
-- Readers of both, who read days before months, are waited for in that order.
LOCK TABLE ledger.balance_day, ledger.balance_month IN ACCESS EXCLUSIVE MODE;

CREATE TABLE ledger.balance_year (
    ledger_id bigint NOT NULL,
    account_id bigint NOT NULL,
    currency text COLLATE "C" NOT NULL,
    year date NOT NULL,
    debit bigint NOT NULL,
    credit bigint NOT NULL,
    functional_debit bigint NOT NULL,
    functional_credit bigint NOT NULL,
    CONSTRAINT balance_year_pkey PRIMARY KEY (ledger_id, account_id, currency, year),
    CONSTRAINT balance_year_first_day CHECK (extract(month FROM year) = 1 AND extract(day FROM year) = 1)
) WITH (fillfactor = 70);

INSERT INTO ledger.balance_year (ledger_id, account_id, currency, year, debit, credit, functional_debit, functional_credit)
SELECT month.ledger_id, month.account_id, month.currency, make_date(extract(year FROM month.month)::integer, 1, 1),
    sum(month.debit)::bigint, sum(month.credit)::bigint,
    sum(month.functional_debit)::bigint, sum(month.functional_credit)::bigint
FROM ledger.balance_month AS month
GROUP BY 1, 2, 3, 4
ORDER BY 1, 2, 3, 4;

GRANT SELECT ON ledger.balance_year TO ledgergraph_app;
ALTER TABLE ledger.balance_year ENABLE ROW LEVEL SECURITY;

-- Who sees a balance is as it was. Most callers see one ledger: compared first, it costs a row half of what the list does.
CREATE POLICY visible ON ledger.balance_year FOR SELECT TO ledgergraph_app
    USING (ledger_id = (SELECT (ledger.visible_ledgers())[1]) OR (SELECT ledger.sees_every_ledger())
        OR ledger_id = ANY ((SELECT ledger.visible_ledgers())::bigint[]));
ALTER POLICY visible ON ledger.balance_month
    USING (ledger_id = (SELECT (ledger.visible_ledgers())[1]) OR (SELECT ledger.sees_every_ledger())
        OR ledger_id = ANY ((SELECT ledger.visible_ledgers())::bigint[]));
ALTER POLICY visible ON ledger.balance_day
    USING (ledger_id = (SELECT (ledger.visible_ledgers())[1]) OR (SELECT ledger.sees_every_ledger())
        OR ledger_id = ANY ((SELECT ledger.visible_ledgers())::bigint[]));

-- A report reads the months of one year, as it reads the days of one month: whatever else the ledger holds.
CREATE INDEX balance_month_by_month ON ledger.balance_month (ledger_id, month);

-- Adds the lines of the entries behind one sequence and up to another to the day, month and year balances, in key order.
-- The lines are read and summed once, by day; months and years are sums of those sums. One statement for each table: an
-- INSERT within another one's WITH is nothing that Citus runs on a shard.
CREATE OR REPLACE FUNCTION ledger.fold_balances(p_ledger bigint, p_after bigint, p_through bigint) RETURNS void
    LANGUAGE plpgsql
AS $$
DECLARE
    accounts bigint[];
    currencies text[];
    days date[];
    debits bigint[];
    credits bigint[];
    functional_debits bigint[];
    functional_credits bigint[];
BEGIN
    SELECT array_agg(posted.account_id), array_agg(posted.currency), array_agg(posted.day), array_agg(posted.debit),
        array_agg(posted.credit), array_agg(posted.functional_debit), array_agg(posted.functional_credit)
    INTO accounts, currencies, days, debits, credits, functional_debits, functional_credits
    FROM (
        SELECT line.account_id, line.currency, line.day,
            sum(greatest(line.amount, 0))::bigint AS debit, sum(greatest(-line.amount, 0))::bigint AS credit,
            sum(greatest(line.functional_amount, 0))::bigint AS functional_debit,
            sum(greatest(-line.functional_amount, 0))::bigint AS functional_credit
        FROM (
            SELECT line.account_id, line.currency, line.effective_date AS day, line.amount, line.functional_amount
            FROM ledger.line
            WHERE line.ledger_id = p_ledger AND line.sequence > p_after AND line.sequence <= p_through
            ORDER BY line.sequence, line.line_number
            OFFSET 0
        ) AS line
        GROUP BY line.account_id, line.currency, line.day
        ORDER BY line.account_id, line.currency, line.day
    ) AS posted;

    INSERT INTO ledger.balance_day AS balance (ledger_id, account_id, currency, day, debit, credit,
        functional_debit, functional_credit)
    SELECT p_ledger, posted.account_id, posted.currency, posted.day, posted.debit, posted.credit,
        posted.functional_debit, posted.functional_credit
    FROM unnest(accounts, currencies, days, debits, credits, functional_debits, functional_credits)
        AS posted (account_id, currency, day, debit, credit, functional_debit, functional_credit)
    ON CONFLICT (ledger_id, account_id, currency, day) DO UPDATE
    SET debit = balance.debit + excluded.debit,
        credit = balance.credit + excluded.credit,
        functional_debit = balance.functional_debit + excluded.functional_debit,
        functional_credit = balance.functional_credit + excluded.functional_credit;

    INSERT INTO ledger.balance_month AS balance (ledger_id, account_id, currency, month, debit, credit,
        functional_debit, functional_credit)
    SELECT p_ledger, posted.account_id, posted.currency,
        posted.day - (extract(day FROM posted.day)::integer - 1) AS month, sum(posted.debit)::bigint,
        sum(posted.credit)::bigint, sum(posted.functional_debit)::bigint, sum(posted.functional_credit)::bigint
    FROM unnest(accounts, currencies, days, debits, credits, functional_debits, functional_credits)
        AS posted (account_id, currency, day, debit, credit, functional_debit, functional_credit)
    GROUP BY posted.account_id, posted.currency, month
    ORDER BY posted.account_id, posted.currency, month
    ON CONFLICT (ledger_id, account_id, currency, month) DO UPDATE
    SET debit = balance.debit + excluded.debit,
        credit = balance.credit + excluded.credit,
        functional_debit = balance.functional_debit + excluded.functional_debit,
        functional_credit = balance.functional_credit + excluded.functional_credit;

    INSERT INTO ledger.balance_year AS balance (ledger_id, account_id, currency, year, debit, credit,
        functional_debit, functional_credit)
    SELECT p_ledger, posted.account_id, posted.currency,
        posted.day - (extract(doy FROM posted.day)::integer - 1) AS year, sum(posted.debit)::bigint,
        sum(posted.credit)::bigint, sum(posted.functional_debit)::bigint, sum(posted.functional_credit)::bigint
    FROM unnest(accounts, currencies, days, debits, credits, functional_debits, functional_credits)
        AS posted (account_id, currency, day, debit, credit, functional_debit, functional_credit)
    GROUP BY posted.account_id, posted.currency, year
    ORDER BY posted.account_id, posted.currency, year
    ON CONFLICT (ledger_id, account_id, currency, year) DO UPDATE
    SET debit = balance.debit + excluded.debit,
        credit = balance.credit + excluded.credit,
        functional_debit = balance.functional_debit + excluded.functional_debit,
        functional_credit = balance.functional_credit + excluded.functional_credit;
END
$$;

CREATE OR REPLACE FUNCTION ledger.refresh_statistics() RETURNS void
    LANGUAGE plpgsql
    SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF pg_try_advisory_xact_lock(1818584941) THEN
        ANALYZE ledger.account, ledger.entry, ledger.line, ledger.balance_day, ledger.balance_month,
            ledger.balance_year;
    END IF;
END
$$;
