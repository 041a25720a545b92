"""What is made from the log: the read table `jobs`, kept up to date, made anew, and checked."""
