-- An issue of a source's own record that could not be read: by what its connector finds the record once more, so that it is asked for
-- again at next_attempt_at, although nothing says that it changed. Null: it comes again by itself, or not at all.
ALTER TABLE mirror.issue ADD COLUMN again text;
