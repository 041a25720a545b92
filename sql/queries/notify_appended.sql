-- Tells whoever keeps a table that something was appended.
notify jobledger_appended
