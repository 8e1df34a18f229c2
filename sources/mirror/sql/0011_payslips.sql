-- What a payslip is made of, in minor units of its run's currency: net = gross - employee_taxes - deductions + reimbursements;
-- NULL: the source does not give it.
ALTER TABLE mirror.payslip
    ADD COLUMN employee_taxes bigint,
    ADD COLUMN deductions bigint,
    ADD COLUMN reimbursements bigint,
    ADD COLUMN employer_taxes bigint,
    ADD COLUMN employer_contributions bigint;

-- payslips_follow: the run is final, and posts once its payslips were read. Reading them: how often it was begun in vain since the
-- run changed, from when on it may be begun again (also while it goes on: a process that dies meanwhile leaves it to the next
-- one), and why it failed last.
ALTER TABLE mirror.payroll_run
    ADD COLUMN payslips_follow boolean NOT NULL DEFAULT false,
    ADD COLUMN payslips_attempts integer,
    ADD COLUMN payslips_not_before timestamptz,
    ADD COLUMN payslips_error text;

-- Those that are held lack these parts: they are asked for anew.
UPDATE mirror.payroll_run SET payslips_at = NULL, payslips_given = NULL WHERE payslips_at IS NOT NULL;
