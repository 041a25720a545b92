"""The only code that knows a technology: one package each for PostgreSQL, Redis, SMTP, files, and the built-in job types."""
