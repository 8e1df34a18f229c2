-- What PostGraphile is given beside the ledger's own tables, by the benchmark in its copy of the database: a role that reads
-- past row-level security, one that does not, and two sums as functions over the same month and day rows. The functions are
-- one statement each, and the trial balance's is inlined into PostGraphile's.

CREATE ROLE bench_peer LOGIN BYPASSRLS;
CREATE ROLE bench_guarded LOGIN IN ROLE ledgergraph_app;
CREATE SCHEMA peer;
CREATE VIEW peer.ledger_ids AS SELECT code, ledger_id FROM ledger.ledger;
GRANT USAGE ON SCHEMA ledger, peer TO bench_peer, bench_guarded;
GRANT SELECT ON ledger.account, ledger.entry, ledger.line, ledger.balance_day, ledger.balance_month TO bench_peer;
GRANT SELECT ON peer.ledger_ids TO bench_guarded;

CREATE FUNCTION peer.account_balance(account ledger.account, as_of date) RETURNS bigint
    LANGUAGE sql STABLE PARALLEL SAFE
    BEGIN ATOMIC
        SELECT coalesce(sum(t.functional_debit) - sum(t.functional_credit), 0)::bigint FROM (
            SELECT m.functional_debit, m.functional_credit FROM ledger.balance_month m
            WHERE m.ledger_id = account.ledger_id AND m.account_id = account.account_id
              AND m.month < date_trunc('month', as_of::timestamp)::date
            UNION ALL
            SELECT d.functional_debit, d.functional_credit FROM ledger.balance_day d
            WHERE d.ledger_id = account.ledger_id AND d.account_id = account.account_id
              AND d.day >= date_trunc('month', as_of::timestamp)::date AND d.day <= as_of
        ) t;
    END;

CREATE FUNCTION peer.trial_balance(ledger bigint, as_of date)
    RETURNS TABLE (code text, name text, debit bigint, credit bigint, closing bigint)
    LANGUAGE sql STABLE PARALLEL SAFE ROWS 200
    BEGIN ATOMIC
        SELECT a.code, a.name, s.debit::bigint, s.credit::bigint, (s.debit - s.credit)::bigint FROM (
            SELECT t.account_id, sum(t.functional_debit) AS debit, sum(t.functional_credit) AS credit FROM (
                SELECT m.account_id, m.functional_debit, m.functional_credit FROM ledger.balance_month m
                WHERE m.ledger_id = trial_balance.ledger
                  AND m.month < date_trunc('month', as_of::timestamp)::date
                UNION ALL
                SELECT d.account_id, d.functional_debit, d.functional_credit FROM ledger.balance_day d
                WHERE d.ledger_id = trial_balance.ledger
                  AND d.day >= date_trunc('month', as_of::timestamp)::date AND d.day <= as_of
            ) t GROUP BY t.account_id
        ) s JOIN ledger.account a ON a.ledger_id = trial_balance.ledger AND a.account_id = s.account_id
        ORDER BY a.code;
    END;
