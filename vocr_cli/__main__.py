"""Lets `python -m vocr_cli` (and torchrun's `-m vocr_cli`) stand for the `vocr` command."""

from vocr_cli.app import main

main()
