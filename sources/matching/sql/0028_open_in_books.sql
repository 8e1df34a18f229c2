-- What is open of invoices, beside what the books have of it on their control accounts, from day to day: both come from one place, so
-- that what is open, what parties have on account and what is not explained is the balance of the control account on every day.

-- Codes of the ledger that the active rules call receivable or payable. Written by the pipeline, when rules become active.
CREATE TABLE matching.control_account (
    ledger_id bigint NOT NULL,
    code text COLLATE "C" NOT NULL,
    direction text COLLATE "C" NOT NULL,
    CONSTRAINT control_account_pkey PRIMARY KEY (ledger_id, code, direction),
    CONSTRAINT control_account_ledger_fkey FOREIGN KEY (ledger_id) REFERENCES ledger.ledger (ledger_id),
    CONSTRAINT control_account_direction_known CHECK (direction IN ('RECEIVABLE', 'PAYABLE'))
);
GRANT SELECT ON matching.control_account TO ledgergraph_app;
ALTER TABLE matching.control_account ENABLE ROW LEVEL SECURITY;
CREATE POLICY visible ON matching.control_account TO ledgergraph_app
    USING ((SELECT ledger.sees_every_ledger()) OR ledger_id = ANY ((SELECT ledger.visible_ledgers())::bigint[]));

-- kind: invoice, or payment: one that settles no invoice that is known. on_account: what the books have besides, of more that was paid
-- than was booked, or before it was; unexplained: what else they have more (less: negative) than is open. open + on_account +
-- unexplained: what the control account has of the document and of what settled it; where it is from before the cut-over, the opening
-- balance has it, and the last is 0. functional: the control account's sum in the ledger's currency, null: not of its own entries.
-- set_off: how much of on_account is what an invoice was prepaid by, or of a credit note (negative) what invoices were by it.
ALTER TABLE matching.open_item
    ADD COLUMN kind text COLLATE "C" NOT NULL DEFAULT 'invoice',
    ADD COLUMN on_account bigint NOT NULL DEFAULT 0,
    ADD COLUMN unexplained bigint NOT NULL DEFAULT 0,
    ADD COLUMN functional bigint,
    ADD COLUMN set_off bigint NOT NULL DEFAULT 0,
    DROP CONSTRAINT open_item_is_open,
    ADD CONSTRAINT open_item_is_open CHECK (open <> 0 OR on_account <> 0 OR unexplained <> 0 OR functional <> 0),
    DROP CONSTRAINT open_item_pkey,
    ADD CONSTRAINT open_item_pkey PRIMARY KEY (ledger_id, source, external_id, kind, direction, currency, from_day);
ALTER TABLE matching.open_todo ADD COLUMN kind text COLLATE "C" NOT NULL DEFAULT 'invoice';

-- What a document moved on control accounts: by each of its entries, and by what reversed these, on the day of either; debits positive.
-- line_amount: of the entry itself.
CREATE FUNCTION matching.control_moves(of_ledger bigint, of_source text, of_kind text, of_account text, of_external_id text)
RETURNS TABLE (direction text, currency text, on_day date, amount bigint, functional bigint, line_amount bigint, description text)
LANGUAGE sql STABLE AS $$
    SELECT control.direction, l.currency, moved.effective_date, moved.factor * l.amount, moved.factor * l.functional_amount, l.amount,
        l.description
    FROM (
        SELECT held.sequence FROM pipeline.posting held
        WHERE held.ledger_id = of_ledger AND held.source = of_source AND held.kind = of_kind AND held.account = of_account
            AND held.external_id = of_external_id AND held.sequence IS NOT NULL OFFSET 0
    ) AS p
    CROSS JOIN LATERAL (SELECT * FROM ledger.line held WHERE held.ledger_id = of_ledger AND held.sequence = p.sequence OFFSET 0) AS l
    JOIN ledger.account a ON a.ledger_id = of_ledger AND a.account_id = l.account_id
    JOIN matching.control_account control ON control.ledger_id = of_ledger AND control.code = a.code
    CROSS JOIN LATERAL (
        WITH RECURSIVE chain (sequence, effective_date, factor) AS (
            SELECT e.sequence, e.effective_date, 1::bigint FROM ledger.entry e WHERE e.ledger_id = of_ledger AND e.sequence = p.sequence
            UNION ALL
            SELECT e.sequence, e.effective_date, -chain.factor FROM chain
            JOIN ledger.entry e ON e.ledger_id = of_ledger AND e.reverses = chain.sequence
        )
        SELECT chain.effective_date, chain.factor FROM chain
    ) AS moved
$$;
REVOKE ALL ON FUNCTION matching.control_moves(bigint, text, text, text, text) FROM PUBLIC;

DROP FUNCTION matching.open_spans(bigint, text[], text[]);

-- What was and is open of these documents, from day to day, in the columns of matching.open_item. All amounts of documents here are
-- positive. A document that stands is open from the day on which it is booked: by its total less what was prepaid, but for
--   paid       what payments that its source states have settled (of a credit note: refunds),
--   elsewhere  what was paid past its source, as that says,
--   matched    what bank transactions were matched with it,
--   credited   what credit notes that name it take off.
-- due, what its source says is due now, knows of credit notes that it has set off, may know of payments and bank transactions or not,
-- and of more than all these: what is left to explain is settled by what was credited, then by what was matched, on those days, and else
-- was from the first. Never is more open than all these leave of the total, and nothing once it was given up.
-- booked is what the control account has of it, by the lines of its entries, of those of payments that name it, and of transactions
-- that were ever matched with it. Of a document with such lines, no more is open than that: one that was voided is open until the day
-- of its reversal, one that was booked late from the day on which it was. What was prepaid and its lines still have is not open, and is
-- taken from what the party has on account (of a credit note, added to that: it is what invoices of the party were prepaid by): the
-- entry of an advance stays when its source allocates it, and so what both leave is nothing. Joins are written in the order in which
-- they are to be made: looking for another takes longer than they do.
CREATE FUNCTION matching.open_spans(of_ledger bigint, kinds text[], sources text[], ids text[])
RETURNS TABLE (kind text, source text, external_id text, direction text, party_id text, party_name text, currency text, due_on date,
    open bigint, on_account bigint, unexplained bigint, functional bigint, set_off bigint, from_day date, until_day date)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog SET plan_cache_mode = force_custom_plan
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET enable_bitmapscan = off SET jit = off
SET join_collapse_limit = 1 SET from_collapse_limit = 1
AS $$
#variable_conflict use_column
BEGIN
    IF NOT (ledger.sees_every_ledger() OR of_ledger = ANY (ledger.visible_ledgers())) THEN
        RETURN;
    END IF;
    RETURN QUERY
    WITH asked AS MATERIALIZED (
        SELECT DISTINCT * FROM unnest(kinds, sources, ids) AS asked (kind, source, external_id)
    ), document AS MATERIALIZED (
        SELECT i.source, i.external_id, i.direction, left(coalesce(i.party_external_id, ''), 600) AS party_id, i.party_name, i.currency, i.kind,
            coalesce(i.due_date, i.issue_date, i.listed_on) AS due_on, coalesce(i.accounting_date, i.listed_on) AS begins,
            side.sign, abs(i.total - i.prepaid) AS total, side.sign * i.amount_due AS due, abs(i.paid_elsewhere) AS elsewhere,
            i.paid_elsewhere_on, side.debits, state.stands, greatest(abs(i.total) - abs(i.total - i.prepaid), 0) AS prepaid,
            i.kind = 'CREDIT_NOTE' AND i.status = 'PAID' AND i.deleted_at IS NULL AND EXISTS (
                SELECT FROM mirror.invoice n WHERE n.ledger_id = of_ledger AND n.source = i.source AND n.external_id = i.raw ->> 'invoice'
                    AND n.kind = 'INVOICE' AND n.currency = i.currency AND n.direction = i.direction) AS is_taken,
            CASE WHEN side.sign <> 0 THEN side.sign WHEN i.total < 0 THEN -1 ELSE 1 END * CASE i.kind WHEN 'CREDIT_NOTE' THEN -1 ELSE 1 END AS owed,
            (NOT state.stands OR coalesce(coalesce(i.accounting_date, i.listed_on) >= (
                SELECT s.post_from FROM mirror.source_state s WHERE s.source = i.source), false))
            AND EXISTS (SELECT FROM matching.control_account c WHERE c.ledger_id = of_ledger AND c.direction = i.direction) AS posts,
            CASE WHEN i.status = 'UNCOLLECTIBLE' AND state.stands THEN coalesce(
                CASE WHEN jsonb_typeof(i.raw #> '{status_transitions,marked_uncollectible_at}') = 'number'
                    AND (i.raw #>> '{status_transitions,marked_uncollectible_at}')::numeric BETWEEN 0 AND 253402300799
                    THEN (to_timestamp((i.raw #>> '{status_transitions,marked_uncollectible_at}')::double precision)
                        AT TIME ZONE 'UTC')::date END,
                i.due_date, i.issue_date, i.listed_on) END AS given_up
        FROM asked
        CROSS JOIN LATERAL (
            SELECT * FROM mirror.invoice held
            WHERE held.ledger_id = of_ledger AND held.source = asked.source AND held.external_id = asked.external_id OFFSET 0
        ) AS i
        CROSS JOIN LATERAL (
            SELECT sign(i.total - i.prepaid)::bigint AS sign, CASE i.direction WHEN 'RECEIVABLE' THEN 1 ELSE -1 END AS debits
        ) AS side
        CROSS JOIN LATERAL (
            SELECT i.status IN ('OPEN', 'PAID', 'UNCOLLECTIBLE') AND i.deleted_at IS NULL AND (
                SELECT 1 FROM pipeline.document d WHERE d.ledger_id = of_ledger AND d.source = i.source AND d.kind = 'invoice'
                    AND d.account = '' AND d.external_id = i.external_id
                    AND d.status || '' = 'DUPLICATE') IS NULL AS stands  -- not by the index of all
        ) AS state
        WHERE asked.kind = 'invoice'
    )
    SELECT 'invoice', d.source, d.external_id, d.direction, d.party_id, d.party_name, d.currency, d.due_on, amount.open,
        books.on_account, books.unexplained, books.functional, taken.set_off, held.from_day, held.until_day
    FROM document d CROSS JOIN LATERAL (
        SELECT day.on_day AS from_day, lead(day.on_day) OVER so_far AS until_day, bool_or(day.begun) OVER so_far AS begun,
            sum(day.paid) OVER so_far AS paid, sum(day.paid) OVER () AS paid_at_last,
            sum(day.elsewhere) OVER so_far AS elsewhere, sum(day.elsewhere) OVER () AS elsewhere_at_last,
            greatest(sum(day.matched) OVER so_far, 0) AS matched, greatest(sum(day.matched) OVER (), 0) AS matched_at_last,
            sum(day.credited) OVER so_far AS credited, sum(day.credited) OVER () AS credited_at_last,
            bool_or(day.given_up) OVER so_far AS given_up, d.posts AND bool_or(day.own) OVER () AS has_lines,
            sum(day.booked) OVER so_far AS booked, sum(day.functional) OVER so_far AS functional
        FROM (
            SELECT met.on_day, bool_or(met.begun) AS begun, sum(met.paid) AS paid, sum(met.elsewhere) AS elsewhere, sum(met.matched) AS matched,
                sum(met.credited) AS credited, bool_or(met.given_up) AS given_up, bool_or(met.own) AS own, sum(met.booked) AS booked,
                sum(met.functional) AS functional
            FROM (
                SELECT greatest(stated.on_day, d.begins) AS on_day, stated.begun, stated.paid, stated.elsewhere, stated.matched,
                    stated.credited, stated.given_up, false AS own, 0 AS booked, 0 AS functional
                FROM (
                    SELECT d.begins AS on_day, true AS begun, 0 AS paid, 0 AS elsewhere, 0 AS matched, 0 AS credited, false AS given_up
                    UNION ALL
                    SELECT p.occurred_on, false, abs(coalesce(p.presented_amount, p.amount)), 0, 0, 0, false FROM mirror.payment p
                    WHERE p.ledger_id = of_ledger AND p.source = d.source AND p.invoice_external_id = d.external_id
                        AND p.type = CASE d.kind WHEN 'CREDIT_NOTE' THEN 'REFUND' ELSE 'PAYMENT' END
                        AND p.status = 'SUCCEEDED' AND p.deleted_at IS NULL AND coalesce(p.presented_currency, p.currency) = d.currency
                    UNION ALL
                    SELECT coalesce(d.paid_elsewhere_on, d.begins), false, 0, d.elsewhere, 0, 0, false WHERE d.elsewhere <> 0
                    UNION ALL
                    SELECT moved.dated, false, 0, 0, d.debits * d.owed * a.amount, 0, false
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
                    SELECT coalesce(n.accounting_date, n.listed_on), false, 0, 0, 0, abs(n.total), false FROM mirror.invoice n
                    WHERE d.kind = 'INVOICE' AND n.ledger_id = of_ledger AND n.source = d.source
                        AND n.raw ->> 'invoice' = d.external_id COLLATE "default"  -- as its index has it
                        AND n.kind = 'CREDIT_NOTE' AND n.status = 'PAID' AND n.deleted_at IS NULL AND n.currency = d.currency
                        AND n.direction = d.direction
                    UNION ALL
                    SELECT d.given_up, false, 0, 0, 0, 0, true WHERE d.given_up IS NOT NULL
                ) AS stated
                WHERE d.stands
                UNION ALL
                SELECT moved.on_day, false, 0, 0, 0, 0, false, moved.own, d.debits * moved.amount, d.debits * moved.functional
                FROM (
                    SELECT m.on_day, m.direction, m.currency, m.amount, m.functional, true AS own
                    FROM matching.control_moves(of_ledger, d.source, 'invoice', '', d.external_id) m WHERE NOT d.is_taken
                    UNION ALL
                    -- A credit note that its source has set off against an invoice takes that off, and is nothing by itself.
                    SELECT m.on_day, m.direction, m.currency, m.amount, m.functional, false
                    FROM mirror.invoice n CROSS JOIN LATERAL matching.control_moves(of_ledger, n.source, 'invoice', '', n.external_id) m
                    WHERE d.kind = 'INVOICE' AND n.ledger_id = of_ledger AND n.source = d.source
                        AND n.raw ->> 'invoice' = d.external_id COLLATE "default" AND n.kind = 'CREDIT_NOTE' AND n.status = 'PAID'
                        AND n.deleted_at IS NULL AND n.currency = d.currency AND n.direction = d.direction
                    UNION ALL
                    SELECT m.on_day, m.direction, m.currency, m.amount, m.functional, false
                    FROM mirror.payment p CROSS JOIN LATERAL matching.control_moves(of_ledger, p.source, 'payment', '', p.external_id) m
                    WHERE p.ledger_id = of_ledger AND p.source = d.source AND p.invoice_external_id = d.external_id
                    UNION ALL
                    -- Of a transaction's entries, the lines that are of this document: by amount, and by number where others of the
                    -- transaction's parts have the same amount.
                    SELECT m.on_day, m.direction, m.currency, m.amount, m.functional, false
                    FROM (
                        SELECT DISTINCT m.source, m.account, m.external_id
                        FROM (
                            SELECT * FROM matching.allocation held WHERE held.ledger_id = of_ledger AND held.kind = 'invoice'
                                AND held.source = d.source AND held.account = '' AND held.external_id = d.external_id OFFSET 0
                        ) AS a CROSS JOIN LATERAL (
                            SELECT * FROM matching.match held WHERE held.ledger_id = of_ledger AND held.match_id = a.match_id OFFSET 0
                        ) AS m
                    ) AS line
                    CROSS JOIN LATERAL matching.control_moves(of_ledger, line.source, 'bank_transaction', line.account, line.external_id) m
                    CROSS JOIN LATERAL (
                        SELECT bool_or(part.mine) AS some, bool_or(part.mine AND part.number = coalesce(m.description, '')) AS named,
                            bool_or(NOT part.mine) AS others
                        FROM (
                            SELECT held.match_id FROM matching.match held WHERE held.ledger_id = of_ledger AND held.source = line.source
                                AND held.account = line.account AND held.external_id = line.external_id OFFSET 0
                        ) AS ever CROSS JOIN LATERAL (
                            SELECT a.kind = 'invoice' AND a.source = d.source AND a.external_id = d.external_id AS mine,
                                coalesce(a.number, '') AS number
                            FROM (
                                SELECT * FROM matching.allocation held
                                WHERE held.ledger_id = of_ledger AND held.match_id = ever.match_id OFFSET 0
                            ) AS a
                            WHERE a.amount = -m.line_amount AND a.currency = m.currency AND a.kind IN ('invoice', 'on_account')
                        ) AS part
                    ) AS parts
                    WHERE parts.some AND (parts.named OR NOT parts.others)
                ) AS moved
                WHERE moved.direction = d.direction AND moved.currency = d.currency
            ) AS met
            GROUP BY met.on_day
        ) AS day
        WINDOW so_far AS (ORDER BY day.on_day)
    ) AS held
    CROSS JOIN LATERAL (
        SELECT greatest(d.total - d.due - held.paid_at_last - held.elsewhere_at_last, 0) AS beyond
    ) AS known
    CROSS JOIN LATERAL (
        SELECT least(known.beyond, held.credited) AS credited, least(known.beyond, held.credited_at_last) AS credited_at_last
    ) AS less
    CROSS JOIN LATERAL (
        SELECT least(known.beyond - less.credited_at_last, held.matched) AS matched,
            least(known.beyond - less.credited_at_last, held.matched_at_last) AS matched_at_last
    ) AS moved
    CROSS JOIN LATERAL (
        SELECT CASE WHEN held.given_up OR (d.stands AND NOT held.begun) THEN 0::bigint ELSE (d.owed * greatest(0, least(
            CASE WHEN d.stands THEN abs(d.sign) * (d.total - held.paid - held.matched - less.credited) END,
            CASE WHEN d.stands THEN abs(d.sign) * (d.due + held.paid_at_last - held.paid + held.elsewhere_at_last - held.elsewhere
                + less.credited_at_last - less.credited + moved.matched_at_last - moved.matched) END,
            CASE WHEN held.has_lines THEN d.owed * held.booked END)))::bigint END AS open
    ) AS amount
    CROSS JOIN LATERAL (
        SELECT CASE WHEN d.posts AND d.stands AND held.begun
            THEN d.owed * greatest(0, least(d.prepaid, d.owed * (held.booked - amount.open))) ELSE 0 END::bigint AS set_off
    ) AS taken
    CROSS JOIN LATERAL (
        SELECT CASE WHEN d.posts THEN d.owed * least(0, d.owed * held.booked) + taken.set_off
            WHEN d.stands AND held.begun THEN d.owed * least(0, d.total - held.paid - held.matched - less.credited) ELSE 0 END::bigint AS on_account
    ) AS credit
    CROSS JOIN LATERAL (
        SELECT credit.on_account, CASE WHEN d.posts THEN (held.booked - amount.open - credit.on_account)::bigint ELSE 0 END AS unexplained,
            CASE WHEN d.posts THEN held.functional::bigint END AS functional
    ) AS books
    WHERE amount.open <> 0 OR books.on_account <> 0 OR books.unexplained <> 0 OR books.functional <> 0
    UNION ALL
    -- Payments that name no invoice that is held, or one of another direction or currency: what their party has on account.
    SELECT 'payment', paid.source, paid.external_id, paid.direction, paid.party_id, paid.party_name, paid.currency, paid.due_on, 0,
        paid.amount, 0, paid.functional, 0, paid.on_day, paid.until_day
    FROM (
        SELECT p.source, p.external_id, m.direction, m.currency, left(coalesce(p.party_external_id, ''), 600) AS party_id,
            coalesce(p.party_name, '') AS party_name, p.occurred_on AS due_on, m.on_day,
            (sum(sum(m.amount * side.debits)) OVER so_far)::bigint AS amount,
            (sum(sum(m.functional * side.debits)) OVER so_far)::bigint AS functional, lead(m.on_day) OVER so_far AS until_day
        FROM asked
        CROSS JOIN LATERAL (
            SELECT * FROM mirror.payment held
            WHERE held.ledger_id = of_ledger AND held.source = asked.source AND held.external_id = asked.external_id OFFSET 0
        ) AS p
        CROSS JOIN LATERAL matching.control_moves(of_ledger, p.source, 'payment', '', p.external_id) m
        CROSS JOIN LATERAL (SELECT CASE m.direction WHEN 'RECEIVABLE' THEN 1 ELSE -1 END AS debits) AS side
        WHERE asked.kind = 'payment' AND NOT EXISTS (
            SELECT FROM mirror.invoice i WHERE i.ledger_id = of_ledger AND i.source = p.source AND i.external_id = p.invoice_external_id
                AND i.direction = m.direction AND i.currency = m.currency)
        GROUP BY p.source, p.external_id, p.party_external_id, p.party_name, p.occurred_on, m.direction, m.currency, m.on_day
        WINDOW so_far AS (PARTITION BY p.source, p.external_id, m.direction, m.currency ORDER BY m.on_day)
    ) AS paid
    WHERE paid.amount <> 0 OR paid.functional <> 0;
END $$;
REVOKE ALL ON FUNCTION matching.open_spans(bigint, text[], text[], text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION matching.open_spans(bigint, text[], text[], text[]) TO ledgergraph_app;

-- As in 0026, of documents of either kind.
CREATE OR REPLACE FUNCTION matching.fold_open_items(of_ledger bigint, most integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog SET plan_cache_mode = force_custom_plan
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET enable_bitmapscan = off SET jit = off
AS $$
DECLARE
    taken tid[];
    found_kinds text[];
    found_sources text[];
    found_ids text[];
BEGIN
    IF NOT (ledger.sees_every_ledger() OR of_ledger = ANY (ledger.visible_ledgers()))
        OR NOT pg_try_advisory_xact_lock(hashtextextended('ledgergraph open items ' || of_ledger, 0)) THEN
        RETURN 0;
    END IF;
    SELECT array_agg(noted.at), array_agg(noted.kind), array_agg(noted.source), array_agg(noted.external_id)
    INTO taken, found_kinds, found_sources, found_ids
    FROM (
        SELECT t.ctid AS at, t.kind, t.source, t.external_id FROM matching.open_todo t WHERE t.ledger_id = of_ledger ORDER BY t.change LIMIT most
    ) AS noted;
    IF taken IS NULL THEN
        RETURN 0;
    END IF;
    DELETE FROM matching.open_item WHERE ctid = ANY (ARRAY(
        SELECT had.ctid FROM (
            SELECT DISTINCT * FROM unnest(found_kinds, found_sources, found_ids) AS asked (kind, source, external_id)
        ) AS asked CROSS JOIN LATERAL (
            SELECT held.ctid FROM matching.open_item held WHERE held.ledger_id = of_ledger AND held.source = asked.source
                AND held.external_id = asked.external_id AND held.kind = asked.kind OFFSET 0
        ) AS had));
    INSERT INTO matching.open_item (ledger_id, kind, source, external_id, direction, party_id, party_name, currency, due_on, open,
        on_account, unexplained, functional, set_off, from_day, until_day)
    SELECT of_ledger, s.* FROM matching.open_spans(of_ledger, found_kinds, found_sources, found_ids) AS s;
    DELETE FROM matching.open_todo WHERE ctid = ANY (taken);
    RETURN cardinality(taken);
END $$;

-- ---------------------------------------------------------------- notes

-- Which documents' open items the entries of these documents may change: an invoice's own, a payment's and its invoice's, and of a bank
-- transaction those of what it was ever matched with.
CREATE FUNCTION matching.note_booked(ledgers bigint[], sources text[], kinds text[], accounts text[], ids text[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog SET plan_cache_mode = force_custom_plan
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET enable_bitmapscan = off SET jit = off
AS $$
BEGIN
    INSERT INTO matching.open_todo (ledger_id, kind, source, external_id)
    WITH booked AS MATERIALIZED (
        SELECT DISTINCT * FROM unnest(ledgers, sources, kinds, accounts, ids) AS booked (ledger_id, source, kind, account, external_id)
    )
    SELECT b.ledger_id, b.kind, b.source, b.external_id FROM booked b WHERE b.kind IN ('invoice', 'payment')
    UNION
    SELECT b.ledger_id, 'invoice', b.source, n.raw ->> 'invoice' FROM booked b CROSS JOIN LATERAL (
        SELECT held.kind, held.raw FROM mirror.invoice held
        WHERE held.ledger_id = b.ledger_id AND held.source = b.source AND held.external_id = b.external_id OFFSET 0
    ) AS n
    WHERE b.kind = 'invoice' AND n.kind = 'CREDIT_NOTE' AND n.raw ->> 'invoice' IS NOT NULL
    UNION
    SELECT b.ledger_id, 'invoice', b.source, p.invoice_external_id FROM booked b CROSS JOIN LATERAL (
        SELECT held.invoice_external_id FROM mirror.payment held
        WHERE held.ledger_id = b.ledger_id AND held.source = b.source AND held.external_id = b.external_id OFFSET 0
    ) AS p
    WHERE b.kind = 'payment' AND p.invoice_external_id IS NOT NULL
    UNION
    SELECT b.ledger_id, 'invoice', a.source, a.external_id FROM booked b CROSS JOIN LATERAL (
        SELECT held.match_id FROM matching.match held WHERE held.ledger_id = b.ledger_id AND held.source = b.source
            AND held.account = b.account AND held.external_id = b.external_id OFFSET 0
    ) AS m CROSS JOIN LATERAL (
        SELECT held.source, held.external_id FROM matching.allocation held
        WHERE held.ledger_id = b.ledger_id AND held.match_id = m.match_id AND held.kind || '' = 'invoice' OFFSET 0
    ) AS a
    WHERE b.kind = 'bank_transaction';
END $$;
REVOKE ALL ON FUNCTION matching.note_booked(bigint[], text[], text[], text[], text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION matching.note_booked(bigint[], text[], text[], text[], text[]) TO ledgergraph_app;

CREATE FUNCTION matching.note_postings() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    PERFORM matching.note_booked(array_agg(w.ledger_id), array_agg(w.source), array_agg(w.kind), array_agg(w.account),
        array_agg(w.external_id))
    FROM written w WHERE w.sequence IS NOT NULL HAVING count(*) > 0;
    RETURN NULL;
END $$;
CREATE TRIGGER open_items_noted AFTER INSERT ON pipeline.posting REFERENCING NEW TABLE AS written
    FOR EACH STATEMENT EXECUTE FUNCTION matching.note_postings();
CREATE TRIGGER open_items_noted_anew AFTER UPDATE ON pipeline.posting REFERENCING NEW TABLE AS written
    FOR EACH STATEMENT EXECUTE FUNCTION matching.note_postings();

-- A payment that came before its invoice is its party's on account until then, and a credit note is nobody's but its own.
CREATE OR REPLACE FUNCTION matching.note_invoices() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    INSERT INTO matching.open_todo (ledger_id, kind, source, external_id)
    SELECT written.ledger_id, 'invoice', written.source, written.external_id FROM written
    UNION ALL
    SELECT written.ledger_id, 'invoice', written.source, written.raw ->> 'invoice' FROM written
    WHERE written.kind = 'CREDIT_NOTE' AND written.raw ->> 'invoice' IS NOT NULL
    UNION ALL
    SELECT written.ledger_id, 'payment', written.source, early.external_id FROM written CROSS JOIN LATERAL (
        SELECT p.external_id FROM mirror.payment p
        WHERE p.ledger_id = written.ledger_id AND p.source = written.source AND p.invoice_external_id = written.external_id OFFSET 0
    ) AS early
    UNION ALL
    SELECT written.ledger_id, 'invoice', written.source, early.external_id FROM written CROSS JOIN LATERAL (
        SELECT n.external_id FROM mirror.invoice n
        WHERE written.kind = 'INVOICE' AND n.ledger_id = written.ledger_id AND n.source = written.source
            AND n.raw ->> 'invoice' = written.external_id COLLATE "default" AND n.kind = 'CREDIT_NOTE' OFFSET 0
    ) AS early;
    RETURN NULL;
END $$;
CREATE OR REPLACE FUNCTION matching.note_invoice() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    INSERT INTO matching.open_todo (ledger_id, source, external_id) VALUES (NEW.ledger_id, NEW.source, NEW.external_id);
    IF NEW.kind = 'CREDIT_NOTE' OR OLD.kind = 'CREDIT_NOTE' THEN
        INSERT INTO matching.open_todo (ledger_id, source, external_id)
        SELECT NEW.ledger_id, NEW.source, named.id FROM (VALUES (NEW.raw ->> 'invoice'), (OLD.raw ->> 'invoice')) AS named (id)
        WHERE named.id IS NOT NULL;
    END IF;
    IF (OLD.direction, OLD.currency, OLD.kind) IS DISTINCT FROM (NEW.direction, NEW.currency, NEW.kind) THEN
        INSERT INTO matching.open_todo (ledger_id, kind, source, external_id)
        SELECT NEW.ledger_id, 'payment', NEW.source, p.external_id FROM mirror.payment p
        WHERE p.ledger_id = NEW.ledger_id AND p.source = NEW.source AND p.invoice_external_id = NEW.external_id
        UNION ALL
        SELECT NEW.ledger_id, 'invoice', NEW.source, n.external_id FROM mirror.invoice n
        WHERE n.ledger_id = NEW.ledger_id AND n.source = NEW.source
            AND n.raw ->> 'invoice' = NEW.external_id COLLATE "default" AND n.kind = 'CREDIT_NOTE';
    END IF;
    RETURN NULL;
END $$;
CREATE OR REPLACE FUNCTION matching.note_payment() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    INSERT INTO matching.open_todo (ledger_id, kind, source, external_id) VALUES (NEW.ledger_id, 'payment', NEW.source, NEW.external_id);
    INSERT INTO matching.open_todo (ledger_id, source, external_id)
    SELECT NEW.ledger_id, NEW.source, settled.id FROM (VALUES (NEW.invoice_external_id), (OLD.invoice_external_id)) AS settled (id)
    WHERE settled.id IS NOT NULL;
    RETURN NULL;
END $$;
DROP TRIGGER open_item_noted ON mirror.payment;
CREATE TRIGGER open_item_noted AFTER UPDATE ON mirror.payment FOR EACH ROW
WHEN (
    (OLD.type, OLD.status, OLD.currency, OLD.amount, OLD.presented_amount, OLD.presented_currency, OLD.occurred_on,
        OLD.invoice_external_id, OLD.deleted_at, OLD.party_external_id, OLD.party_name)
    IS DISTINCT FROM
    (NEW.type, NEW.status, NEW.currency, NEW.amount, NEW.presented_amount, NEW.presented_currency, NEW.occurred_on,
        NEW.invoice_external_id, NEW.deleted_at, NEW.party_external_id, NEW.party_name)
)
EXECUTE FUNCTION matching.note_payment();

-- Whether a document counts as booked hangs on the day from which its source posts.
CREATE FUNCTION matching.note_source() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    INSERT INTO matching.open_todo (ledger_id, source, external_id)
    SELECT i.ledger_id, i.source, i.external_id FROM mirror.invoice i WHERE i.source = NEW.source;
    RETURN NULL;
END $$;
CREATE TRIGGER open_items_noted AFTER UPDATE ON mirror.source_state FOR EACH ROW
WHEN (OLD.post_from IS DISTINCT FROM NEW.post_from) EXECUTE FUNCTION matching.note_source();

-- The control accounts of a ledger from now on; whether they are others than before.
CREATE FUNCTION matching.keep_control_accounts(of_ledger bigint, codes text[], directions text[]) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    IF NOT (ledger.sees_every_ledger() OR of_ledger = ANY (ledger.visible_ledgers())) THEN
        RETURN false;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('ledgergraph control accounts ' || of_ledger, 0));
    IF ARRAY(SELECT (c.code, c.direction)::text FROM matching.control_account c WHERE c.ledger_id = of_ledger ORDER BY 1)
        = ARRAY(SELECT DISTINCT (s.code, s.direction)::text FROM unnest(codes, directions) AS s (code, direction) ORDER BY 1) THEN
        RETURN false;
    END IF;
    DELETE FROM matching.control_account c WHERE c.ledger_id = of_ledger;
    INSERT INTO matching.control_account (ledger_id, code, direction)
    SELECT DISTINCT of_ledger, s.code, s.direction FROM unnest(codes, directions) AS s (code, direction);
    INSERT INTO matching.open_todo (ledger_id, kind, source, external_id)
    SELECT i.ledger_id, 'invoice', i.source, i.external_id FROM mirror.invoice i WHERE i.ledger_id = of_ledger
    UNION ALL
    SELECT p.ledger_id, 'payment', p.source, p.external_id FROM mirror.payment p WHERE p.ledger_id = of_ledger;
    RETURN true;
END $$;
REVOKE ALL ON FUNCTION matching.keep_control_accounts(bigint, text[], text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION matching.keep_control_accounts(bigint, text[], text[]) TO ledgergraph_app;

-- The rules that are active are told of once more, so that their control accounts are taken.
UPDATE mapping.ruleset SET told = false WHERE active;
