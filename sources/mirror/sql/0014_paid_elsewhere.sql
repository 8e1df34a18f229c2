ALTER TABLE mirror.invoice
    ADD COLUMN paid_elsewhere bigint NOT NULL DEFAULT 0,
    ADD COLUMN paid_elsewhere_on date;
