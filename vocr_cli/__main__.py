"""The `vocr` command, which `python -m vocr_cli` (and torchrun's `-m vocr_cli`) is, too."""

import sys


def main() -> None:
    """Runs the command line; Ctrl-C while its modules are imported ends it without a traceback."""
    try:
        from vocr_cli.app import main as run_command_line

        run_command_line()
    except KeyboardInterrupt:
        sys.exit(130)  # as `EXIT_INTERRUPTED`, whose module may be the one that is not loaded


if __name__ == "__main__":
    main()
