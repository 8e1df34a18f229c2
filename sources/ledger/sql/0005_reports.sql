-- A report over all accounts reads the days of one month: by account and currency it would look in as many places as the
-- chart has. Updates of a balance touch no indexed column, so that only a day's first posting on an account pays for it.
CREATE INDEX balance_day_by_day ON ledger.balance_day (ledger_id, day);

-- Texts are kept under names_version. A database that is restored to an earlier state counts on from there, and would
-- number other names alike: with the clock in it, no state is numbered twice.
CREATE FUNCTION ledger.stamp_names_version() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    NEW.names_version := greatest(NEW.names_version, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint);
    RETURN NEW;
END
$$;

CREATE TRIGGER stamp_names_version BEFORE UPDATE OF names_version ON ledger.ledger FOR EACH ROW
    WHEN (NEW.names_version <> OLD.names_version) EXECUTE FUNCTION ledger.stamp_names_version();
REVOKE ALL ON FUNCTION ledger.stamp_names_version() FROM PUBLIC;
