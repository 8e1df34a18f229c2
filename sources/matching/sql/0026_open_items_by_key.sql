-- As in 0022, but for the ways by which rows are found: each by its key, in a subquery of its own. On tables that were never analysed, as
-- those of a first pull are, joins were planned the other way round and read a ledger whole for every few documents: folding what a
-- pull of 50,000 invoices had noted took longer than a statement may.
CREATE OR REPLACE FUNCTION matching.open_spans(of_ledger bigint, sources text[], ids text[])
RETURNS TABLE (source text, external_id text, direction text, party_id text, party_name text, currency text, due_on date, open bigint,
    from_day date, until_day date)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog SET plan_cache_mode = force_custom_plan
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET enable_bitmapscan = off SET jit = off
AS $$
#variable_conflict use_column
BEGIN
    IF NOT (ledger.sees_every_ledger() OR of_ledger = ANY (ledger.visible_ledgers())) THEN
        RETURN;
    END IF;
    RETURN QUERY
    WITH document AS MATERIALIZED (
        SELECT i.source, i.external_id, i.direction, left(coalesce(i.party_external_id, ''), 600) AS party_id, i.party_name, i.currency, i.kind,
            coalesce(i.due_date, i.issue_date, i.listed_on) AS due_on, coalesce(i.accounting_date, i.listed_on) AS begins,
            side.sign, abs(i.total - i.prepaid) AS total, side.sign * i.amount_due AS due, abs(i.paid_elsewhere) AS elsewhere,
            i.paid_elsewhere_on, side.sign * CASE i.direction WHEN 'RECEIVABLE' THEN 1 ELSE -1 END
                * CASE i.kind WHEN 'CREDIT_NOTE' THEN -1 ELSE 1 END AS moves,
            CASE i.status WHEN 'UNCOLLECTIBLE' THEN coalesce(
                CASE WHEN jsonb_typeof(i.raw #> '{status_transitions,marked_uncollectible_at}') = 'number'
                    AND (i.raw #>> '{status_transitions,marked_uncollectible_at}')::numeric BETWEEN 0 AND 253402300799
                    THEN (to_timestamp((i.raw #>> '{status_transitions,marked_uncollectible_at}')::double precision)
                        AT TIME ZONE 'UTC')::date END,
                i.due_date, i.issue_date, i.listed_on) END AS given_up
        FROM (SELECT DISTINCT * FROM unnest(sources, ids) AS asked (source, external_id)) AS asked
        CROSS JOIN LATERAL (
            SELECT * FROM mirror.invoice held
            WHERE held.ledger_id = of_ledger AND held.source = asked.source AND held.external_id = asked.external_id OFFSET 0
        ) AS i
        CROSS JOIN LATERAL (SELECT sign(i.total - i.prepaid)::bigint AS sign) AS side
        WHERE i.status IN ('OPEN', 'PAID', 'UNCOLLECTIBLE') AND i.deleted_at IS NULL AND (
            SELECT 1 FROM pipeline.document d WHERE d.ledger_id = of_ledger AND d.source = i.source AND d.kind = 'invoice'
                AND d.account = '' AND d.external_id = i.external_id AND d.status || '' = 'DUPLICATE') IS NULL  -- not by the index of all
    )
    SELECT d.source, d.external_id, d.direction, d.party_id, d.party_name, d.currency, d.due_on, amount.open, held.from_day, held.until_day
    FROM document d CROSS JOIN LATERAL (
        SELECT day.on_day AS from_day, lead(day.on_day) OVER so_far AS until_day,
            sum(day.paid) OVER so_far AS paid, sum(day.paid) OVER () AS paid_at_last,
            sum(day.elsewhere) OVER so_far AS elsewhere, sum(day.elsewhere) OVER () AS elsewhere_at_last,
            greatest(sum(day.matched) OVER so_far, 0) AS matched, greatest(sum(day.matched) OVER (), 0) AS matched_at_last,
            sum(day.credited) OVER so_far AS credited, sum(day.credited) OVER () AS credited_at_last,
            bool_or(day.given_up) OVER so_far AS given_up
        FROM (
            SELECT greatest(met.on_day, d.begins) AS on_day, sum(met.paid) AS paid, sum(met.elsewhere) AS elsewhere,
                sum(met.matched) AS matched, sum(met.credited) AS credited, bool_or(met.given_up) AS given_up
            FROM (
                SELECT d.begins AS on_day, 0 AS paid, 0 AS elsewhere, 0 AS matched, 0 AS credited, false AS given_up
                UNION ALL
                SELECT p.occurred_on, abs(coalesce(p.presented_amount, p.amount)), 0, 0, 0, false FROM mirror.payment p
                WHERE p.ledger_id = of_ledger AND p.source = d.source AND p.invoice_external_id = d.external_id
                    AND p.type = CASE d.kind WHEN 'CREDIT_NOTE' THEN 'REFUND' ELSE 'PAYMENT' END
                    AND p.status = 'SUCCEEDED' AND p.deleted_at IS NULL AND coalesce(p.presented_currency, p.currency) = d.currency
                UNION ALL
                SELECT coalesce(d.paid_elsewhere_on, d.begins), 0, d.elsewhere, 0, 0, false WHERE d.elsewhere <> 0
                UNION ALL
                SELECT moved.dated, 0, 0, d.moves * a.amount, 0, false
                FROM (
                    SELECT * FROM matching.allocation held WHERE held.ledger_id = of_ledger AND held.kind = 'invoice'
                        AND held.source = d.source AND held.account = '' AND held.external_id = d.external_id OFFSET 0
                ) AS a CROSS JOIN LATERAL (
                    SELECT * FROM matching.match held WHERE held.ledger_id = of_ledger AND held.match_id = a.match_id
                        AND held.status || '' IN ('CERTAIN', 'CONFIRMED') OFFSET 0
                ) AS m CROSS JOIN LATERAL (
                    SELECT * FROM matching.item held WHERE held.ledger_id = of_ledger
                        AND held.kind = (SELECT 'bank_transaction')  -- not by the index of all of an account's
                        AND held.source = m.source AND held.account = m.account AND held.external_id = m.external_id OFFSET 0
                ) AS moved
                UNION ALL
                SELECT coalesce(n.accounting_date, n.listed_on), 0, 0, 0, abs(n.total), false FROM mirror.invoice n
                WHERE d.kind = 'INVOICE' AND n.ledger_id = of_ledger AND n.source = d.source
                    AND n.raw ->> 'invoice' = d.external_id COLLATE "default"  -- as its index has it
                    AND n.kind = 'CREDIT_NOTE' AND n.status = 'PAID' AND n.deleted_at IS NULL AND n.currency = d.currency
                    AND n.direction = d.direction
                UNION ALL
                SELECT d.given_up, 0, 0, 0, 0, true WHERE d.given_up IS NOT NULL
            ) AS met
            GROUP BY greatest(met.on_day, d.begins)
        ) AS day
        WINDOW so_far AS (ORDER BY day.on_day)
    ) AS held
    CROSS JOIN LATERAL (
        SELECT greatest(d.total - d.due - held.paid_at_last - held.elsewhere_at_last, 0) AS unexplained
    ) AS known
    CROSS JOIN LATERAL (
        SELECT (d.sign * CASE d.kind WHEN 'CREDIT_NOTE' THEN -1 ELSE 1 END * greatest(0, least(
            d.total - held.paid - held.matched,
            d.due + held.paid_at_last - held.paid + held.elsewhere_at_last - held.elsewhere
                + least(known.unexplained, held.matched_at_last + held.credited_at_last)
                - least(known.unexplained, held.matched + held.credited))))::bigint AS open
    ) AS amount
    WHERE amount.open <> 0 AND NOT held.given_up;
END $$;

CREATE OR REPLACE FUNCTION matching.fold_open_items(of_ledger bigint, most integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog SET plan_cache_mode = force_custom_plan
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET enable_bitmapscan = off SET jit = off
AS $$
DECLARE
    taken bigint[];
    found_sources text[];
    found_ids text[];
BEGIN
    IF NOT (ledger.sees_every_ledger() OR of_ledger = ANY (ledger.visible_ledgers()))
        OR NOT pg_try_advisory_xact_lock(hashtextextended('ledgergraph open items ' || of_ledger, 0)) THEN
        RETURN 0;
    END IF;
    SELECT array_agg(noted.change), array_agg(noted.source), array_agg(noted.external_id) INTO taken, found_sources, found_ids
    FROM (
        SELECT t.change, t.source, t.external_id FROM matching.open_todo t WHERE t.ledger_id = of_ledger ORDER BY t.change LIMIT most
    ) AS noted;
    IF taken IS NULL THEN
        RETURN 0;
    END IF;
    DELETE FROM matching.open_item WHERE ctid = ANY (ARRAY(
        SELECT had.ctid FROM (SELECT DISTINCT * FROM unnest(found_sources, found_ids) AS asked (source, external_id)) AS asked
        CROSS JOIN LATERAL (
            SELECT held.ctid FROM matching.open_item held
            WHERE held.ledger_id = of_ledger AND held.source = asked.source AND held.external_id = asked.external_id OFFSET 0
        ) AS had));
    INSERT INTO matching.open_item (ledger_id, source, external_id, direction, party_id, party_name, currency, due_on, open, from_day,
        until_day)
    SELECT of_ledger, s.* FROM matching.open_spans(of_ledger, found_sources, found_ids) AS s;
    DELETE FROM matching.open_todo t WHERE t.ledger_id = of_ledger AND t.change = ANY (taken);
    RETURN cardinality(taken);
END $$;
