-- The snapshot of this transaction, for others to import.
select pg_export_snapshot()
