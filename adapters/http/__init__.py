"""The service's own API, seen from outside: for the commands that speak to it."""
