"""A server that cannot be started says why and what to do, and one that can takes a port of its own."""

from __future__ import annotations

import socket

import pytest
from typer.testing import CliRunner

from vocr_cli.app import app
from vocr_cli.core.errors import DataError
from vocr_cli.core.web import listening


@pytest.mark.parametrize("command", [["label", "lines"], ["serve"]])
def test_without_the_extra_the_command_says_how_to_install_it(monkeypatch, tmp_path, command):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(listening, "find_spec", lambda name: None)
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 1 and "starlette" in result.exception.problem
    assert "vocr-cli[web]" in result.exception.fix and not list(tmp_path.iterdir())


def test_a_taken_port_is_told_where_it_was_asked_for_and_passed_by_where_not():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(DataError, match=f"port {port}") as refused:
            listening.bind("127.0.0.1", port, 1)
        assert "--port" in refused.value.fix
        with listening.bind("127.0.0.1", None, port) as found:
            assert found.getsockname()[1] != port
            assert listening.address_of(found, "0.0.0.0") == f"http://127.0.0.1:{found.getsockname()[1]}"


def test_a_host_that_is_not_there_is_named():
    with pytest.raises(DataError, match=r"nowhere\.invalid"):
        listening.bind("nowhere.invalid", None, 0)
