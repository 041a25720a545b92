"""What can be done: one use case a file. Each reads, decides by the domain, and appends; technology only through ports."""
