"""`python -m prefstream` is the `prefstream` command."""

from prefstream.consumer.cli import main

main()
