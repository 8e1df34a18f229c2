ALTER TABLE mirror.invoice ADD COLUMN accounting_date date;
