"""Everything that speaks to PostgreSQL. Drivers' errors end here: they leave as the errors of commands.ports."""
