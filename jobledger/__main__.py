"""`python -m jobledger`: the same as the command `jobledger`."""

from entrypoints.console import main

if __name__ == "__main__":
    main()
