"""Making the table `jobs` anew from the log while the service runs."""
