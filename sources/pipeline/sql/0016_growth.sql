-- Three sorts wait in todo, each in the order of its turn: what changed, what is tried again, and what disappeared (which cannot
-- be taken while its source has not been read to its end, and must not be read over by who takes the others).
DROP INDEX pipeline.todo_by_turn;
CREATE INDEX todo_fresh ON pipeline.todo (ledger_id, not_before, change) WHERE NOT gone AND attempts = 0;
CREATE INDEX todo_again ON pipeline.todo (ledger_id, not_before, change) WHERE NOT gone AND attempts > 0;
CREATE INDEX todo_gone ON pipeline.todo (ledger_id, source, not_before, change) WHERE gone;

-- Lists of proposals are of those that wait, by their number.
DROP INDEX pipeline.proposal_waiting;
CREATE INDEX proposal_waiting ON pipeline.proposal (ledger_id, proposal_id) WHERE decision IS NULL;

-- told: since it became active, the documents that had an issue were called up again, by one process for all.
ALTER TABLE mapping.ruleset ADD COLUMN told boolean NOT NULL DEFAULT false;
GRANT UPDATE (told) ON mapping.ruleset TO ledgergraph_app;
