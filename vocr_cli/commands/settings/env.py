"""`vocr env`: what is installed here, and what this machine can read with."""

from __future__ import annotations

from vocr_cli.options import JsonOpt
from vocr_cli.terminal import console
from vocr_cli.terminal.documents import write_json


def command(json_file: JsonOpt = None) -> None:
    """Say what a report of a fault needs: versions, processor, number formats, runtimes and extras.

    It also names the environment variables that change what vocr does, and the folder of its caches.
    """
    from vocr_cli.core.inference.backends.environment import environment_facts

    facts = environment_facts()
    console.facts("vocr env", facts.items())
    if json_file is not None:
        write_json(json_file, facts)
