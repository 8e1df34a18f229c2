"""`python -m gateway.cli`: the same as `ledgergraph`."""

from gateway.cli import main

if __name__ == "__main__":
    main(prog_name="ledgergraph")
