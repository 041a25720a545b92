-- Tells every listener that something was appended.
notify jobledger_appended
