"""`python -m api` is the command `pgcurfew`."""

from api.cli.main import main

main()
