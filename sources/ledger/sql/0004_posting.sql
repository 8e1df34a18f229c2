-- Posting, at less cost: what 0001_posting.sql says holds, and what it does is done in fewer steps.
--
-- A lookup by the first row at or behind a key names the key as its end too. Without an end, PostgreSQL copies the rest of
-- an index page for each row that is looked for: 2.7 instead of 0.8 microseconds.

CREATE OR REPLACE FUNCTION ledger.find_accounts(p_ledger bigint, p_codes text[], p_currencies text[],
    OUT ids bigint[], OUT fault_bits integer[], OUT currencies text[])
    LANGUAGE plpgsql
AS $$
BEGIN
    SELECT coalesce(array_agg(looked_up.account_id), '{}'), coalesce(array_agg(looked_up.bits), '{}'),
        coalesce(array_agg(looked_up.currency), '{}')
    INTO ids, fault_bits, currencies
    FROM (
        SELECT coalesce(found.account_id, 0) AS account_id, found.currency,
            CASE
                WHEN found.account_id IS NULL THEN 1
                ELSE CASE WHEN found.active THEN 0 ELSE 2 END
                    + CASE WHEN found.currency <> stated.currency THEN 4 ELSE 0 END
            END AS bits
        FROM unnest(p_codes, p_currencies) WITH ORDINALITY AS stated (code, currency, n)
        LEFT JOIN LATERAL (
            SELECT account.account_id, account.currency, account.active
            FROM ledger.account
            WHERE account.ledger_id = p_ledger AND account.code >= stated.code AND account.code <= stated.code
            ORDER BY account.code
            LIMIT 1
        ) AS found ON true
        ORDER BY stated.n
    ) AS looked_up;
END
$$;

CREATE OR REPLACE FUNCTION ledger.reversal_faults(p_ledger bigint, p_reverses bigint[], p_effective_dates date[])
    RETURNS ledger.fault[]
    LANGUAGE plpgsql
AS $$
BEGIN
    RETURN (
        SELECT array_agg(ROW(stated.n, 0, fault.code, fault.detail)::ledger.fault)
        FROM unnest(p_reverses, p_effective_dates) WITH ORDINALITY AS stated (reverses, effective_date, n)
        LEFT JOIN LATERAL (
            SELECT entry.sequence, entry.effective_date
            FROM ledger.entry
            WHERE entry.ledger_id = p_ledger AND entry.sequence >= stated.reverses AND entry.sequence <= stated.reverses
            ORDER BY entry.sequence
            LIMIT 1
        ) AS original ON true
        LEFT JOIN LATERAL (
            SELECT entry.sequence
            FROM ledger.entry
            WHERE entry.ledger_id = p_ledger AND entry.reverses >= stated.reverses AND entry.reverses <= stated.reverses
            ORDER BY entry.reverses
            LIMIT 1
        ) AS reversal ON true
        CROSS JOIN LATERAL (
            VALUES ('UNKNOWN_ENTRY', NULL, original.sequence IS NULL),
                ('ALREADY_REVERSED', reversal.sequence::text, reversal.sequence IS NOT NULL),
                ('INVALID_REVERSAL', original.effective_date::text, stated.effective_date < original.effective_date)
        ) AS fault (code, detail, found)
        WHERE stated.reverses IS NOT NULL AND fault.found
    );
END
$$;

-- Adds the lines of the entries behind one sequence and up to another to the day and month balances, in key order.
DROP FUNCTION ledger.fold_balances(bigint, bigint[]);
CREATE FUNCTION ledger.fold_balances(p_ledger bigint, p_after bigint, p_through bigint) RETURNS void
    LANGUAGE plpgsql
AS $$
BEGIN
    INSERT INTO ledger.balance_day AS balance (ledger_id, account_id, currency, day, debit, credit,
        functional_debit, functional_credit)
    SELECT p_ledger, posted.account_id, posted.currency, posted.day,
        sum(greatest(posted.amount, 0))::bigint, sum(greatest(-posted.amount, 0))::bigint,
        sum(greatest(posted.functional_amount, 0))::bigint, sum(greatest(-posted.functional_amount, 0))::bigint
    FROM (
        SELECT line.account_id, line.currency, line.amount, line.functional_amount,
            line.effective_date AS day
        FROM ledger.line
        WHERE line.ledger_id = p_ledger AND line.sequence > p_after AND line.sequence <= p_through
        ORDER BY line.sequence, line.line_number
        OFFSET 0
    ) AS posted
    GROUP BY posted.account_id, posted.currency, posted.day
    ORDER BY posted.account_id, posted.currency, posted.day
    ON CONFLICT (ledger_id, account_id, currency, day) DO UPDATE
    SET debit = balance.debit + excluded.debit,
        credit = balance.credit + excluded.credit,
        functional_debit = balance.functional_debit + excluded.functional_debit,
        functional_credit = balance.functional_credit + excluded.functional_credit;

    INSERT INTO ledger.balance_month AS balance (ledger_id, account_id, currency, month, debit, credit,
        functional_debit, functional_credit)
    SELECT p_ledger, posted.account_id, posted.currency, posted.month,
        sum(greatest(posted.amount, 0))::bigint, sum(greatest(-posted.amount, 0))::bigint,
        sum(greatest(posted.functional_amount, 0))::bigint, sum(greatest(-posted.functional_amount, 0))::bigint
    FROM (
        SELECT line.account_id, line.currency, line.amount, line.functional_amount,
            line.effective_date - (extract(day FROM line.effective_date)::integer - 1) AS month
        FROM ledger.line
        WHERE line.ledger_id = p_ledger AND line.sequence > p_after AND line.sequence <= p_through
        ORDER BY line.sequence, line.line_number
        OFFSET 0
    ) AS posted
    GROUP BY posted.account_id, posted.currency, posted.month
    ORDER BY posted.account_id, posted.currency, posted.month
    ON CONFLICT (ledger_id, account_id, currency, month) DO UPDATE
    SET debit = balance.debit + excluded.debit,
        credit = balance.credit + excluded.credit,
        functional_debit = balance.functional_debit + excluded.functional_debit,
        functional_credit = balance.functional_credit + excluded.functional_credit;
END
$$;

CREATE OR REPLACE FUNCTION ledger.post_entries(
    p_claim text,
    p_ledger bigint,
    p_canonical_version smallint,
    p_keys text[],
    p_origins text[],
    p_body_hashes bytea[],
    p_refused boolean[],
    p_groups integer[],
    p_effective_dates date[],
    p_document_dates date[],
    p_posted_by text[],
    p_journals text[],
    p_descriptions text[],
    p_references text[],
    p_reverses bigint[],
    p_line_counts integer[],
    p_totals bigint[],
    p_account_codes text[],
    p_account_currencies text[],
    p_line_entries integer[],
    p_line_numbers integer[],
    p_line_accounts integer[],
    p_line_currencies text[],
    p_line_amounts bigint[],
    p_line_functional_amounts bigint[],
    p_line_descriptions text[],
    p_line_tax_codes text[],
    p_line_dimensions text[]
) RETURNS TABLE (at_position integer, outcome text, at_sequence bigint, faults jsonb)
    LANGUAGE plpgsql
    SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET enable_seqscan = off
    SET enable_sort = off
    SET jit = off
AS $$
DECLARE
    head ledger.head;
    last_before bigint;
    posted_now timestamptz;
    posted_micros bytea;
    locked date;
    earlier_sequences bigint[];
    earlier_same boolean[];
    accounts record;
    found_faults ledger.fault[] := '{}';
    failed_entries integer[];
    failed_groups integer[];
    outcomes text[];
    numbers bigint[] := array_fill(0::bigint, ARRAY[cardinality(p_keys)]);
    hashes bytea[] := array_fill(NULL::bytea, ARRAY[cardinality(p_keys)]);
    account_ids bigint[];
BEGIN
    -- Lock.
    head := ledger.lock_head(p_ledger);
    last_before := head.last_sequence;
    posted_now := greatest(clock_timestamp(), head.last_posted_at);
    posted_micros := int8send((extract(epoch FROM posted_now) * 1000000)::bigint);
    SELECT ledger.locked_through INTO locked FROM ledger.ledger WHERE ledger.ledger_id = p_ledger;

    -- Keys that were used before: replays and conflicts.
    SELECT array_agg(coalesce(earlier.sequence, 0) ORDER BY stated.n),
        array_agg(coalesce(earlier.body_hash = stated.body_hash, false) ORDER BY stated.n)
    INTO earlier_sequences, earlier_same
    FROM unnest(p_keys, p_origins, p_body_hashes) WITH ORDINALITY AS stated (key, origin, body_hash, n)
    LEFT JOIN LATERAL (
        SELECT entry.sequence, entry.body_hash
        FROM ledger.entry
        WHERE entry.ledger_id = p_ledger AND (entry.origin, entry.idempotency_key) >= (stated.origin, stated.key)
            AND (entry.origin, entry.idempotency_key) <= (stated.origin, stated.key)
        ORDER BY entry.origin, entry.idempotency_key
        LIMIT 1
    ) AS earlier ON true;

    -- Accounts, reversals, locked periods.
    accounts := ledger.find_accounts(p_ledger, p_account_codes, p_account_currencies);
    account_ids := accounts.ids;
    IF EXISTS (SELECT FROM unnest(accounts.fault_bits) AS found (bits) WHERE found.bits > 0) THEN
        found_faults := found_faults || (
            SELECT array_agg(ROW(stated.entry, stated.number, fault.code, fault.detail)::ledger.fault)
            FROM unnest(p_line_entries, p_line_numbers, p_line_accounts) AS stated (entry, number, account)
            JOIN unnest(accounts.fault_bits, accounts.currencies) WITH ORDINALITY AS found (bits, currency, n)
                ON found.n = stated.account
            CROSS JOIN LATERAL (
                VALUES (1, 'UNKNOWN_ACCOUNT', NULL), (2, 'INACTIVE_ACCOUNT', NULL),
                    (4, 'CURRENCY_MISMATCH', found.currency)
            ) AS fault (bit, code, detail)
            WHERE found.bits & fault.bit > 0
        );
    END IF;
    IF array_remove(p_reverses, NULL) <> '{}' THEN
        found_faults := found_faults || ledger.reversal_faults(p_ledger, p_reverses, p_effective_dates);
    END IF;
    IF locked IS NOT NULL THEN
        found_faults := found_faults || (
            SELECT array_agg(ROW(stated.n, 0, 'PERIOD_LOCKED', locked::text)::ledger.fault)
            FROM unnest(p_effective_dates) WITH ORDINALITY AS stated (effective_date, n)
            WHERE stated.effective_date <= locked
        );
    END IF;

    -- Decide; a group with a refusal or a conflict stops its good members.
    SELECT coalesce(array_agg(DISTINCT fault.entry), '{}') INTO failed_entries FROM unnest(found_faults) AS fault;
    SELECT array_agg(
        CASE
            WHEN earlier.sequence > 0 AND earlier.same THEN 'replayed'
            WHEN earlier.sequence > 0 THEN 'conflict'
            WHEN earlier.refused OR earlier.n = ANY (failed_entries) THEN 'rejected'
            ELSE 'posted'
        END ORDER BY earlier.n)
    INTO outcomes
    FROM unnest(earlier_sequences, earlier_same, p_refused) WITH ORDINALITY AS earlier (sequence, same, refused, n);
    SELECT coalesce(array_agg(DISTINCT decided.grouped), '{}')
    INTO failed_groups
    FROM unnest(outcomes, p_groups) AS decided (outcome, grouped)
    WHERE decided.grouped > 0 AND decided.outcome IN ('conflict', 'rejected');

    -- Number and chain.
    FOR i IN 1 .. cardinality(p_keys) LOOP
        IF outcomes[i] = 'posted' THEN
            IF p_groups[i] = ANY (failed_groups) THEN
                outcomes[i] := 'stopped';
            ELSE
                head.last_sequence := head.last_sequence + 1;
                head.last_hash := sha256(head.last_hash || p_body_hashes[i] || int8send(head.last_sequence) || posted_micros
                    || int4send(octet_length(p_posted_by[i])) || convert_to(p_posted_by[i], 'UTF8')
                    || int4send(octet_length(p_origins[i])) || convert_to(p_origins[i], 'UTF8')
                    || int4send(octet_length(p_keys[i])) || convert_to(p_keys[i], 'UTF8'));
                numbers[i] := head.last_sequence;
                hashes[i] := head.last_hash;
            END IF;
        END IF;
    END LOOP;

    IF head.last_sequence > last_before THEN
        -- Insert.
        SET CONSTRAINTS ledger.entry_has_lines DEFERRED;
        INSERT INTO ledger.entry (ledger_id, sequence, effective_date, document_date, posted_at, posted_by, journal,
            description, reference, idempotency_key, origin, reverses, line_count, total, body_hash, hash,
            canonical_version)
        SELECT p_ledger, stated.number, stated.effective_date, stated.document_date, posted_now, stated.posted_by,
            stated.journal, stated.description, stated.reference, stated.key, stated.origin, stated.reverses,
            coalesce(original.line_count, stated.line_count), coalesce(original.total, stated.total), stated.body_hash,
            stated.hash, p_canonical_version
        FROM unnest(numbers, hashes, p_keys, p_origins, p_body_hashes, p_effective_dates, p_document_dates, p_posted_by,
            p_journals, p_descriptions, p_references, p_reverses, p_line_counts, p_totals)
            AS stated (number, hash, key, origin, body_hash, effective_date, document_date, posted_by,
                journal, description, reference, reverses, line_count, total)
        LEFT JOIN LATERAL (
            SELECT entry.line_count, entry.total
            FROM ledger.entry
            WHERE entry.ledger_id = p_ledger AND entry.sequence >= stated.reverses AND entry.sequence <= stated.reverses
            ORDER BY entry.sequence
            LIMIT 1
        ) AS original ON true
        WHERE stated.number > 0;

        INSERT INTO ledger.line (ledger_id, sequence, line_number, account_id, effective_date, currency, amount,
            functional_amount, description, tax_code, dimensions)
        SELECT p_ledger, numbers[stated.entry], stated.number, account_ids[stated.account],
            p_effective_dates[stated.entry], stated.currency, stated.amount, stated.functional_amount,
            stated.description, stated.tax_code, coalesce(stated.dimensions::jsonb, '{}')
        FROM unnest(p_line_entries, p_line_numbers, p_line_accounts, p_line_currencies, p_line_amounts,
            p_line_functional_amounts, p_line_descriptions, p_line_tax_codes, p_line_dimensions)
            AS stated (entry, number, account, currency, amount, functional_amount, description, tax_code, dimensions)
        WHERE numbers[stated.entry] > 0
        UNION ALL
        SELECT p_ledger, stated.number, original.line_number, original.account_id, stated.effective_date,
            original.currency, -original.amount, -original.functional_amount, original.description, original.tax_code,
            original.dimensions
        FROM unnest(numbers, p_effective_dates, p_reverses) AS stated (number, effective_date, reverses)
        CROSS JOIN LATERAL (
            SELECT line.line_number, line.account_id, line.currency, line.amount, line.functional_amount,
                line.description, line.tax_code, line.dimensions
            FROM ledger.line
            WHERE line.ledger_id = p_ledger AND line.sequence = stated.reverses
            ORDER BY line.line_number
        ) AS original
        WHERE stated.number > 0 AND stated.reverses IS NOT NULL;

        -- Fold, from what was stored.
        PERFORM ledger.fold_balances(p_ledger, last_before, head.last_sequence);

        UPDATE ledger.head AS stored
        SET last_sequence = head.last_sequence, last_hash = head.last_hash, last_posted_at = posted_now
        WHERE stored.ledger_id = p_ledger;
        SET CONSTRAINTS ledger.entry_has_lines IMMEDIATE;
    END IF;

    -- Answer.
    RETURN QUERY
    SELECT decided.n::integer, decided.outcome,
        CASE WHEN decided.earlier > 0 THEN decided.earlier ELSE nullif(decided.number, 0) END,
        found.faults
    FROM unnest(outcomes, earlier_sequences, numbers) WITH ORDINALITY AS decided (outcome, earlier, number, n)
    LEFT JOIN (
        SELECT fault.entry, jsonb_agg(jsonb_build_object('code', fault.code, 'line', fault.line, 'detail', fault.detail)
            ORDER BY fault.line, fault.code) AS faults
        FROM unnest(found_faults) AS fault
        GROUP BY fault.entry
    ) AS found ON found.entry = decided.n AND decided.outcome = 'rejected';
END
$$;

REVOKE ALL ON FUNCTION ledger.fold_balances FROM PUBLIC;
