-- See everything as in that snapshot: the first statement of a REPEATABLE READ transaction.
set transaction snapshot '{snapshot}'
