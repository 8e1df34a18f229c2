-- Ledgers and charts of accounts. Each function locks the ledger's head first, so that changes and postings of one ledger
-- come one after the other, and bumps names_version in the same transaction, which readers of names compare.

-- Where a ledger's hash chain begins (docs/canonical-form.md).
CREATE FUNCTION ledger.genesis_hash(p_code text) RETURNS bytea
    LANGUAGE sql IMMUTABLE STRICT
    RETURN sha256(convert_to('ledgergraph genesis 1 ' || p_code, 'UTF8'));

-- created: false when the code was taken; is_same: it was taken by a ledger that is just so.
CREATE FUNCTION ledger.create_ledger(p_code text, p_name text, p_functional_currency text)
    RETURNS TABLE (ledger_id bigint, created boolean, is_same boolean)
    LANGUAGE plpgsql
    SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    new_id bigint;
BEGIN
    INSERT INTO ledger.ledger (code, name, functional_currency)
    VALUES (p_code, p_name, p_functional_currency)
    ON CONFLICT (code) DO NOTHING
    RETURNING ledger.ledger_id INTO new_id;
    IF new_id IS NOT NULL THEN
        INSERT INTO ledger.head (ledger_id, last_hash) VALUES (new_id, ledger.genesis_hash(p_code));
    END IF;
    RETURN QUERY
    SELECT ledger.ledger_id, new_id IS NOT NULL,
        ledger.name = p_name AND ledger.functional_currency = p_functional_currency
    FROM ledger.ledger
    WHERE ledger.code = p_code;
END
$$;

CREATE FUNCTION ledger.update_ledger(p_ledger bigint, p_name text) RETURNS void
    LANGUAGE plpgsql
    SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM ledger.lock_head(p_ledger);
    UPDATE ledger.ledger
    SET name = p_name, names_version = names_version + 1
    WHERE ledger.ledger_id = p_ledger AND name <> p_name;
END
$$;

CREATE FUNCTION ledger.lock_periods(p_ledger bigint, p_through date) RETURNS void
    LANGUAGE plpgsql
    SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM ledger.lock_head(p_ledger);
    UPDATE ledger.ledger SET locked_through = p_through WHERE ledger.ledger_id = p_ledger;
END
$$;

-- All or none. Answers one row per fault, none when all is stored: DUPLICATE_CODE (the code is taken, differently) or
-- UNKNOWN_PARENT. The caller has refused repeated codes and circles within the input.
CREATE FUNCTION ledger.create_accounts(p_ledger bigint, p_codes text[], p_names text[], p_types text[],
    p_normal_sides text[], p_currencies text[], p_parents text[])
    RETURNS TABLE (at_position integer, fault text)
    LANGUAGE plpgsql
    SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM ledger.lock_head(p_ledger);
    RETURN QUERY
    SELECT stated.n::integer, found.fault
    FROM unnest(p_codes, p_names, p_types, p_normal_sides, p_currencies, p_parents)
        WITH ORDINALITY AS stated (code, name, type, normal_side, currency, parent, n)
    LEFT JOIN ledger.account AS taken ON taken.ledger_id = p_ledger AND taken.code = stated.code
    LEFT JOIN ledger.account AS above ON above.ledger_id = p_ledger AND above.account_id = taken.parent_id
    LEFT JOIN ledger.account AS parent ON parent.ledger_id = p_ledger AND parent.code = stated.parent
    CROSS JOIN LATERAL (
        VALUES ('DUPLICATE_CODE', taken.account_id IS NOT NULL
                AND (taken.name, taken.type, taken.normal_side) IS DISTINCT FROM
                    (stated.name, stated.type, stated.normal_side)
            OR taken.account_id IS NOT NULL
                AND (taken.currency, above.code) IS DISTINCT FROM (stated.currency, stated.parent)),
            ('UNKNOWN_PARENT', stated.parent IS NOT NULL AND parent.account_id IS NULL
                AND stated.parent <> ALL (p_codes))
    ) AS found (fault, holds)
    WHERE found.holds
    ORDER BY stated.n;
    IF FOUND THEN
        RETURN;
    END IF;

    INSERT INTO ledger.account (ledger_id, code, name, type, normal_side, currency)
    SELECT p_ledger, stated.code, stated.name, stated.type, stated.normal_side, stated.currency
    FROM unnest(p_codes, p_names, p_types, p_normal_sides, p_currencies)
        WITH ORDINALITY AS stated (code, name, type, normal_side, currency, n)
    WHERE NOT EXISTS (
        SELECT FROM ledger.account WHERE account.ledger_id = p_ledger AND account.code = stated.code
    )
    ORDER BY stated.n;
    IF FOUND THEN
        UPDATE ledger.ledger SET names_version = names_version + 1 WHERE ledger.ledger_id = p_ledger;
    END IF;
    UPDATE ledger.account AS child
    SET parent_id = parent.account_id
    FROM unnest(p_codes, p_parents) AS stated (code, parent_code)
    JOIN ledger.account AS parent ON parent.ledger_id = p_ledger AND parent.code = stated.parent_code
    WHERE child.ledger_id = p_ledger AND child.code = stated.code AND child.parent_id IS NULL;
END
$$;

-- Null leaves the name and active as they are; p_set_parent says whether p_parent (null: no parent) is to be stored.
-- Answers null, or UNKNOWN_ACCOUNT, UNKNOWN_PARENT or CIRCLE.
CREATE FUNCTION ledger.update_account(p_ledger bigint, p_code text, p_name text, p_active boolean,
    p_set_parent boolean, p_parent text) RETURNS text
    LANGUAGE plpgsql
    SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    changed ledger.account;
    new_parent bigint;
BEGIN
    PERFORM ledger.lock_head(p_ledger);
    SELECT * INTO changed FROM ledger.account WHERE account.ledger_id = p_ledger AND account.code = p_code;
    IF NOT FOUND THEN
        RETURN 'UNKNOWN_ACCOUNT';
    END IF;
    new_parent := changed.parent_id;
    IF p_set_parent THEN
        SELECT account.account_id INTO new_parent
        FROM ledger.account
        WHERE account.ledger_id = p_ledger AND account.code = p_parent;
        IF p_parent IS NOT NULL AND new_parent IS NULL THEN
            RETURN 'UNKNOWN_PARENT';
        END IF;
        IF EXISTS (
            WITH RECURSIVE above AS (
                SELECT account.account_id, account.parent_id
                FROM ledger.account
                WHERE account.ledger_id = p_ledger AND account.account_id = new_parent
                UNION
                SELECT account.account_id, account.parent_id
                FROM above
                JOIN ledger.account ON account.ledger_id = p_ledger AND account.account_id = above.parent_id
            )
            SELECT FROM above WHERE above.account_id = changed.account_id
        ) THEN
            RETURN 'CIRCLE';
        END IF;
    END IF;
    UPDATE ledger.account
    SET name = coalesce(p_name, changed.name), active = coalesce(p_active, changed.active), parent_id = new_parent
    WHERE account.ledger_id = p_ledger AND account.account_id = changed.account_id
        AND (account.name, account.active, account.parent_id)
            IS DISTINCT FROM (coalesce(p_name, changed.name), coalesce(p_active, changed.active), new_parent);
    IF FOUND THEN
        UPDATE ledger.ledger SET names_version = names_version + 1 WHERE ledger.ledger_id = p_ledger;
    END IF;
    RETURN NULL;
END
$$;

REVOKE ALL ON FUNCTION ledger.genesis_hash, ledger.create_ledger, ledger.update_ledger, ledger.lock_periods,
    ledger.create_accounts, ledger.update_account FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ledger.create_ledger, ledger.update_ledger, ledger.lock_periods, ledger.create_accounts,
    ledger.update_account TO ledgergraph_app;
