"""How the world comes in: settings, the command line, HTTP, and the processes. The only place that wires things together."""
