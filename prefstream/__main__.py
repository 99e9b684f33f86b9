"""The `prefstream` command, also as `python -m prefstream`: it hears signals before it imports what takes time."""


def main() -> None:
    """Run the command line."""
    from prefstream.consumer.early_signals import hear_signals

    hear_signals()
    from prefstream.consumer.process.fast_start import start_fast

    start_fast()
    from prefstream.consumer.process.quick_end import end_quickly_after

    end_quickly_after(_command_line)


def _command_line() -> None:
    from prefstream.consumer.cli import main as command_line

    command_line()


if __name__ == "__main__":
    main()
