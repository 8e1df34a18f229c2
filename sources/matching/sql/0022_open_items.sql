-- How much is open of each invoice and credit note, from a day until another: so that a page of what is open costs the same in old
-- books as in new ones, today as on a past day. Rows are computed from documents, payments and matches (matching.open_spans) and from
-- nothing else. Whoever changes one of those notes its invoice, in the same transaction; readers compute what is noted anew, and
-- matching.fold_open_items brings the rows up to date soon after. So what is read is exact at any moment, and no writer waits.

-- open: minor units, of a credit note negative; never 0: then there is no row. until_day: the first day on which it is otherwise, null: it
-- is so since. lasts: at most so many days lie between, in steps of four, 0: there is no end; rows that reach over a day are found by it
-- without walking over all those that ended before. party_id: in its source, the first 600 characters, which an
-- index holds; '': it has none.
CREATE TABLE matching.open_item (
    ledger_id bigint NOT NULL,
    source text COLLATE "C" NOT NULL,
    external_id text COLLATE "C" NOT NULL,
    direction text COLLATE "C" NOT NULL,
    party_id text COLLATE "C" NOT NULL,
    party_name text COLLATE "C" NOT NULL,
    currency text COLLATE "C" NOT NULL,
    due_on date NOT NULL,
    open bigint NOT NULL,
    from_day date NOT NULL,
    until_day date,
    lasts integer GENERATED ALWAYS AS (CASE WHEN until_day IS NULL THEN 0 WHEN until_day - from_day <= 8 THEN 8
        WHEN until_day - from_day <= 32 THEN 32 WHEN until_day - from_day <= 128 THEN 128 WHEN until_day - from_day <= 512 THEN 512
        WHEN until_day - from_day <= 2048 THEN 2048 ELSE 1048576 END) STORED,
    CONSTRAINT open_item_pkey PRIMARY KEY (ledger_id, source, external_id, from_day),
    CONSTRAINT open_item_is_open CHECK (open <> 0),
    CONSTRAINT open_item_lasts CHECK (until_day > from_day)
);
CREATE INDEX open_item_now ON matching.open_item (ledger_id, direction, due_on, source, external_id) WHERE until_day IS NULL;
CREATE INDEX open_item_now_by_party ON matching.open_item (ledger_id, direction, party_id, currency, due_on)
    WHERE until_day IS NULL;
CREATE INDEX open_item_past ON matching.open_item (ledger_id, direction, lasts, from_day, until_day) WHERE until_day IS NOT NULL;
CREATE INDEX open_item_of_party ON matching.open_item (ledger_id, party_id);

-- Invoices of which what is open is to be computed anew, once for each change: so nobody who notes one waits for another.
CREATE TABLE matching.open_todo (
    ledger_id bigint NOT NULL,
    change bigint GENERATED ALWAYS AS IDENTITY,
    source text COLLATE "C" NOT NULL,
    external_id text COLLATE "C" NOT NULL,
    CONSTRAINT open_todo_pkey PRIMARY KEY (ledger_id, change)
) WITH (autovacuum_vacuum_scale_factor = 0.1, autovacuum_vacuum_threshold = 1000);
CREATE INDEX open_todo_of_document ON matching.open_todo (ledger_id, source, external_id);

-- What parties have on account is rare: it is found without walking over all other allocations.
CREATE INDEX allocation_on_account ON matching.allocation (ledger_id, match_id) WHERE kind = 'on_account';

GRANT SELECT ON matching.open_item, matching.open_todo TO ledgergraph_app;
ALTER TABLE matching.open_item ENABLE ROW LEVEL SECURITY;
ALTER TABLE matching.open_todo ENABLE ROW LEVEL SECURITY;
CREATE POLICY visible ON matching.open_item TO ledgergraph_app
    USING ((SELECT ledger.sees_every_ledger()) OR ledger_id = ANY ((SELECT ledger.visible_ledgers())::bigint[]));
CREATE POLICY visible ON matching.open_todo TO ledgergraph_app
    USING ((SELECT ledger.sees_every_ledger()) OR ledger_id = ANY ((SELECT ledger.visible_ledgers())::bigint[]));

-- What was and is open of these documents, from day to day, in the columns of matching.open_item. All amounts here are positive.
-- A document is open from the day on which it is booked: by its total less what was prepaid, but for
--   paid       what payments that its source states have settled (of a credit note: refunds),
--   elsewhere  what was paid past its source, as that says,
--   matched    what bank transactions were matched with it,
--   credited   what credit notes that name it take off.
-- due, what its source says is due now, may know of payments and bank transactions or not, and of more than all these: what is then
-- left to explain is settled by what was matched and credited, on those days, and else was from the first. Never is more open than
-- what payments and matched money leave of the total, and nothing once it was given up.
CREATE FUNCTION matching.open_spans(of_ledger bigint, sources text[], ids text[])
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
        JOIN mirror.invoice i ON i.ledger_id = of_ledger AND i.source = asked.source AND i.external_id = asked.external_id
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
                FROM matching.allocation a
                JOIN matching.match m ON m.ledger_id = of_ledger AND m.match_id = a.match_id AND m.status IN ('CERTAIN', 'CONFIRMED')
                JOIN matching.item moved ON moved.ledger_id = of_ledger AND moved.kind = 'bank_transaction' AND moved.source = m.source
                    AND moved.account = m.account AND moved.external_id = m.external_id
                WHERE a.ledger_id = of_ledger AND a.kind = 'invoice' AND a.source = d.source AND a.account = ''
                    AND a.external_id = d.external_id
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
REVOKE ALL ON FUNCTION matching.open_spans(bigint, text[], text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION matching.open_spans(bigint, text[], text[]) TO ledgergraph_app;

-- Brings matching.open_item up to date by at most `most` notes, the oldest first; how many these were. What comes while it works stays
-- noted. One at a time in a ledger: another caller is told 0.
CREATE FUNCTION matching.fold_open_items(of_ledger bigint, most integer) RETURNS integer
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
    DELETE FROM matching.open_item held USING (SELECT DISTINCT * FROM unnest(found_sources, found_ids) AS asked (source, external_id)) AS asked
    WHERE held.ledger_id = of_ledger AND held.source = asked.source AND held.external_id = asked.external_id;
    INSERT INTO matching.open_item (ledger_id, source, external_id, direction, party_id, party_name, currency, due_on, open, from_day,
        until_day)
    SELECT of_ledger, s.* FROM matching.open_spans(of_ledger, found_sources, found_ids) AS s;
    DELETE FROM matching.open_todo t WHERE t.ledger_id = of_ledger AND t.change = ANY (taken);
    RETURN cardinality(taken);
END $$;
REVOKE ALL ON FUNCTION matching.fold_open_items(bigint, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION matching.fold_open_items(bigint, integer) TO ledgergraph_app;

-- ---------------------------------------------------------------- notes

-- Backfills write by the thousand: one statement for all. What is changed is mostly not one of these columns: row by row, for those that are.
CREATE FUNCTION matching.note_invoices() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    INSERT INTO matching.open_todo (ledger_id, source, external_id)
    SELECT written.ledger_id, written.source, written.external_id FROM written
    UNION ALL
    SELECT written.ledger_id, written.source, written.raw ->> 'invoice' FROM written
    WHERE written.kind = 'CREDIT_NOTE' AND written.raw ->> 'invoice' IS NOT NULL;
    RETURN NULL;
END $$;
CREATE TRIGGER open_items_noted AFTER INSERT ON mirror.invoice REFERENCING NEW TABLE AS written
    FOR EACH STATEMENT EXECUTE FUNCTION matching.note_invoices();

CREATE FUNCTION matching.note_invoice() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    INSERT INTO matching.open_todo (ledger_id, source, external_id) VALUES (NEW.ledger_id, NEW.source, NEW.external_id);
    IF NEW.kind = 'CREDIT_NOTE' OR OLD.kind = 'CREDIT_NOTE' THEN
        INSERT INTO matching.open_todo (ledger_id, source, external_id)
        SELECT NEW.ledger_id, NEW.source, named.id FROM (VALUES (NEW.raw ->> 'invoice'), (OLD.raw ->> 'invoice')) AS named (id)
        WHERE named.id IS NOT NULL;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER open_item_noted AFTER UPDATE ON mirror.invoice FOR EACH ROW
WHEN (
    (OLD.direction, OLD.kind, OLD.status, OLD.party_external_id, OLD.party_name, OLD.currency, OLD.issue_date, OLD.accounting_date,
        OLD.due_date, OLD.listed_on, OLD.total, OLD.prepaid, OLD.amount_due, OLD.paid_elsewhere, OLD.paid_elsewhere_on, OLD.deleted_at)
    IS DISTINCT FROM
    (NEW.direction, NEW.kind, NEW.status, NEW.party_external_id, NEW.party_name, NEW.currency, NEW.issue_date, NEW.accounting_date,
        NEW.due_date, NEW.listed_on, NEW.total, NEW.prepaid, NEW.amount_due, NEW.paid_elsewhere, NEW.paid_elsewhere_on, NEW.deleted_at)
    OR ((NEW.kind = 'CREDIT_NOTE' OR NEW.status = 'UNCOLLECTIBLE') AND OLD.raw IS DISTINCT FROM NEW.raw)
)
EXECUTE FUNCTION matching.note_invoice();

CREATE FUNCTION matching.note_payments() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    INSERT INTO matching.open_todo (ledger_id, source, external_id)
    SELECT written.ledger_id, written.source, written.invoice_external_id FROM written
    WHERE written.invoice_external_id IS NOT NULL AND written.type IN ('PAYMENT', 'REFUND');
    RETURN NULL;
END $$;
CREATE TRIGGER open_items_noted AFTER INSERT ON mirror.payment REFERENCING NEW TABLE AS written
    FOR EACH STATEMENT EXECUTE FUNCTION matching.note_payments();

CREATE FUNCTION matching.note_payment() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    INSERT INTO matching.open_todo (ledger_id, source, external_id)
    SELECT NEW.ledger_id, NEW.source, settled.id FROM (VALUES (NEW.invoice_external_id), (OLD.invoice_external_id)) AS settled (id)
    WHERE settled.id IS NOT NULL;
    RETURN NULL;
END $$;
CREATE TRIGGER open_item_noted AFTER UPDATE ON mirror.payment FOR EACH ROW
WHEN (
    (OLD.type, OLD.status, OLD.currency, OLD.amount, OLD.presented_amount, OLD.presented_currency, OLD.occurred_on,
        OLD.invoice_external_id, OLD.deleted_at)
    IS DISTINCT FROM
    (NEW.type, NEW.status, NEW.currency, NEW.amount, NEW.presented_amount, NEW.presented_currency, NEW.occurred_on,
        NEW.invoice_external_id, NEW.deleted_at)
)
EXECUTE FUNCTION matching.note_payment();

CREATE FUNCTION matching.note_allocations() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    INSERT INTO matching.open_todo (ledger_id, source, external_id)
    SELECT written.ledger_id, written.source, written.external_id FROM written WHERE written.kind = 'invoice';
    RETURN NULL;
END $$;
CREATE TRIGGER open_items_noted AFTER INSERT ON matching.allocation REFERENCING NEW TABLE AS written
    FOR EACH STATEMENT EXECUTE FUNCTION matching.note_allocations();

CREATE FUNCTION matching.note_match() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    INSERT INTO matching.open_todo (ledger_id, source, external_id)
    SELECT a.ledger_id, a.source, a.external_id FROM matching.allocation a
    WHERE a.ledger_id = NEW.ledger_id AND a.match_id = NEW.match_id AND a.kind = 'invoice';
    RETURN NULL;
END $$;
CREATE TRIGGER open_item_noted AFTER UPDATE ON matching.match FOR EACH ROW
WHEN ((OLD.status IN ('CERTAIN', 'CONFIRMED')) <> (NEW.status IN ('CERTAIN', 'CONFIRMED')))
EXECUTE FUNCTION matching.note_match();

CREATE FUNCTION matching.note_moved() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    INSERT INTO matching.open_todo (ledger_id, source, external_id)
    SELECT a.ledger_id, a.source, a.external_id FROM matching.match m
    JOIN matching.allocation a ON a.ledger_id = m.ledger_id AND a.match_id = m.match_id AND a.kind = 'invoice'
    WHERE m.ledger_id = NEW.ledger_id AND m.source = NEW.source AND m.account = NEW.account AND m.external_id = NEW.external_id;
    RETURN NULL;
END $$;
CREATE TRIGGER open_item_noted AFTER UPDATE ON matching.item FOR EACH ROW
WHEN (NEW.kind = 'bank_transaction' AND OLD.dated <> NEW.dated)
EXECUTE FUNCTION matching.note_moved();

CREATE FUNCTION matching.note_document() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
    INSERT INTO matching.open_todo (ledger_id, source, external_id) VALUES (NEW.ledger_id, NEW.source, NEW.external_id);
    RETURN NULL;
END $$;
CREATE TRIGGER open_item_noted AFTER INSERT ON pipeline.document FOR EACH ROW
WHEN (NEW.kind = 'invoice' AND NEW.status = 'DUPLICATE') EXECUTE FUNCTION matching.note_document();
CREATE TRIGGER open_item_noted_anew AFTER UPDATE ON pipeline.document FOR EACH ROW
WHEN (NEW.kind = 'invoice' AND (OLD.status = 'DUPLICATE') <> (NEW.status = 'DUPLICATE')) EXECUTE FUNCTION matching.note_document();

-- What is there already.
INSERT INTO matching.open_todo (ledger_id, source, external_id) SELECT ledger_id, source, external_id FROM mirror.invoice;
