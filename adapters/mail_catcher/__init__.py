"""A mail server for development: it takes every mail, keeps each as a file, and shows them. It sends nothing on."""
