"""Statements on record: what a session sent to its target, and what became of it.

statement                            a statement, its outcome, and their canonical text
chain                                blocks of rows, each of which follows the one before it
audit_row                            the canonical text of an event of the audit trail
checkpoint                           the newest link of every chain, signed
checking                             holds a record against its hashes, link by link
dropped_days                         what retention took out, as three say it who have to agree
flaw                                 what is wrong with a record, by name
export                               a record as JSON lines that prove themselves
conditions                           what a grant's sessions are held to, as its policy said
"""
