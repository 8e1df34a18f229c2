-- Grows from file to file: what an older one states, when it comes again by other ways, is not what its document is now.
ALTER TABLE mirror.document_file ADD COLUMN place bigint GENERATED ALWAYS AS IDENTITY;
