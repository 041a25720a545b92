"""All SQL of the project: numbered migrations, and one statement a file in queries. Read by adapters/postgres alone."""
