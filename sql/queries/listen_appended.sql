-- Asks to be told when something was appended.
listen jobledger_appended
