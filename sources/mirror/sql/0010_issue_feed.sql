-- The order in which changes of issues are streamed: one growing number in each ledger. Whoever changes what an issue says
-- takes its number away, here; whoever follows the ledger numbers what has been committed. So the order of numbers is the order
-- in which changes became visible, and no writer waits for another one's number. An issue that changed twice meanwhile is
-- numbered once. Issues are never deleted, so that every number can be gone on from.
ALTER TABLE mirror.issue ADD COLUMN revision bigint;
CREATE INDEX issue_unnumbered ON mirror.issue (ledger_id) WHERE revision IS NULL;
CREATE UNIQUE INDEX issue_by_revision ON mirror.issue (ledger_id, revision) WHERE revision IS NOT NULL;

-- The last number that was given in a ledger. Its row is the lock under which numbers are given.
CREATE TABLE mirror.issue_head (
    ledger_id bigint NOT NULL,
    revision bigint NOT NULL,
    CONSTRAINT issue_head_pkey PRIMARY KEY (ledger_id),
    CONSTRAINT issue_head_ledger_fkey FOREIGN KEY (ledger_id) REFERENCES ledger.ledger (ledger_id)
);

-- From first_revision on, numbers were given by one server from one start to its next; digits: random ones, by which a cursor
-- is known as one of this history. A database that is restored goes on under other digits.
CREATE TABLE mirror.issue_era (
    ledger_id bigint NOT NULL,
    first_revision bigint NOT NULL,
    server text COLLATE "C" NOT NULL,
    digits text COLLATE "C" NOT NULL,
    CONSTRAINT issue_era_pkey PRIMARY KEY (ledger_id, first_revision),
    CONSTRAINT issue_era_ledger_fkey FOREIGN KEY (ledger_id) REFERENCES ledger.ledger (ledger_id),
    CONSTRAINT issue_era_digits_form CHECK (digits ~ '^[0-9a-f]{8}$')
);

GRANT SELECT, INSERT, UPDATE ON mirror.issue_head, mirror.issue_era TO ledgergraph_app;
ALTER TABLE mirror.issue_head ENABLE ROW LEVEL SECURITY;
ALTER TABLE mirror.issue_era ENABLE ROW LEVEL SECURITY;
CREATE POLICY visible ON mirror.issue_head TO ledgergraph_app
    USING ((SELECT ledger.sees_every_ledger()) OR ledger_id = ANY ((SELECT ledger.visible_ledgers())::bigint[]));
CREATE POLICY visible ON mirror.issue_era TO ledgergraph_app
    USING ((SELECT ledger.sees_every_ledger()) OR ledger_id = ANY ((SELECT ledger.visible_ledgers())::bigint[]));

CREATE FUNCTION mirror.issue_changed() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    NEW.revision := NULL;
    PERFORM pg_notify('ledgergraph_issues', '');
    RETURN NEW;
END $$;

CREATE FUNCTION mirror.issue_opened() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    PERFORM pg_notify('ledgergraph_issues', '');
    RETURN NULL;
END $$;

CREATE TRIGGER issue_opened AFTER INSERT ON mirror.issue FOR EACH ROW EXECUTE FUNCTION mirror.issue_opened();

-- What was met once more and says the same (last_seen, times, attempts, next_attempt_at) is no change to anyone who watches.
CREATE TRIGGER issue_changed BEFORE UPDATE ON mirror.issue FOR EACH ROW
WHEN (
    (OLD.message, OLD.hint, OLD.excerpt, OLD.kind, OLD.account, OLD.external_id, OLD.opened_at, OLD.closed_at, OLD.resolved_at,
        OLD.resolved_by, OLD.note, OLD.muted_until)
    IS DISTINCT FROM
    (NEW.message, NEW.hint, NEW.excerpt, NEW.kind, NEW.account, NEW.external_id, NEW.opened_at, NEW.closed_at, NEW.resolved_at,
        NEW.resolved_by, NEW.note, NEW.muted_until)
)
EXECUTE FUNCTION mirror.issue_changed();

-- Numbers at most `most` issues of a ledger that changed; how many, and the last number. What a writer holds at this moment is
-- left for the next call: nobody is waited for but another caller, so there is no deadlock. Small plans, whatever the
-- statistics say: both tables may have been empty when a connection planned them first.
CREATE FUNCTION mirror.number_issues(ledger bigint, most integer, OUT numbered integer, OUT newest bigint)
LANGUAGE plpgsql
SET search_path = pg_catalog SET plan_cache_mode = force_custom_plan
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
DECLARE
    here text;
BEGIN
    INSERT INTO mirror.issue_head (ledger_id, revision) VALUES (ledger, 0) ON CONFLICT DO NOTHING;
    SELECT revision INTO STRICT newest FROM mirror.issue_head WHERE ledger_id = ledger FOR UPDATE;
    WITH chosen AS MATERIALIZED (
        SELECT source, code, subject, greatest(opened_at, closed_at) AS changed_at FROM mirror.issue
        WHERE ledger_id = ledger AND revision IS NULL LIMIT most FOR NO KEY UPDATE SKIP LOCKED
    ), counted AS (
        SELECT source, code, subject, newest + row_number() OVER (ORDER BY changed_at, source, code, subject) AS revision
        FROM chosen
    )
    UPDATE mirror.issue held SET revision = counted.revision FROM counted
    WHERE held.ledger_id = ledger AND held.source = counted.source AND held.code = counted.code AND held.subject = counted.subject;
    GET DIAGNOSTICS numbered = ROW_COUNT;
    IF numbered = 0 THEN
        RETURN;
    END IF;
    SELECT oid || ' ' || extract(epoch FROM pg_postmaster_start_time()) INTO STRICT here
    FROM pg_database WHERE datname = current_database();
    IF here IS DISTINCT FROM (SELECT server FROM mirror.issue_era WHERE ledger_id = ledger ORDER BY first_revision DESC LIMIT 1) THEN
        INSERT INTO mirror.issue_era (ledger_id, first_revision, server, digits)
        VALUES (ledger, newest + 1, here, encode(substring(uuid_send(gen_random_uuid()) FOR 4), 'hex'));
    END IF;
    newest := newest + numbered;
    UPDATE mirror.issue_head SET revision = newest WHERE ledger_id = ledger;
END $$;
REVOKE ALL ON FUNCTION mirror.number_issues(bigint, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION mirror.number_issues(bigint, integer) TO ledgergraph_app;

-- For metrics: those that bother nobody for a time are few.
CREATE INDEX issue_muted ON mirror.issue (muted_until) WHERE closed_at IS NULL AND muted_until IS NOT NULL;
