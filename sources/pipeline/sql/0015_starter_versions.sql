-- The text of the built-in rules that a version extends (null: it extends none, or was saved before they were kept).
ALTER TABLE mapping.ruleset ADD COLUMN starter text;
