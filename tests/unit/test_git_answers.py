"""What git says when something fails, sorted by who must act. The texts are git's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.errors import Conflict, Refused, Trouble, Unreachable
from controller.sources.gitcli import Answer, Git, Protected, StaleLease, environment, folded, shown, trouble

REFUSED = "fatal: unable to connect to 127.0.0.1:\n127.0.0.1[0: 127.0.0.1]: errno=Connection refused\n"


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (REFUSED, Unreachable),
        ("fatal: unable to access 'https://x/': Could not resolve host: x", Unreachable),
        ("fatal: unable to access 'https://x/': Failed to connect to x port 443 after 0 ms", Unreachable),
        ("fatal: unable to access 'https://x/': The requested URL returned error: 502", Unreachable),
        (
            "ssh: connect to host x port 22: Connection refused\nfatal: Could not read from remote repository.",
            Unreachable,
        ),
        ("kex_exchange_identification: Connection closed by remote host\nfatal: Could not read", Unreachable),
        ("fatal: the remote end hung up unexpectedly", Unreachable),
        ("fatal: early EOF\nfatal: index-pack failed", Unreachable),
        ("fatal: unable to access 'https://x/': The requested URL returned error: 403", Refused),
        ("git@x: Permission denied (publickey).\nfatal: Could not read from remote repository.", Refused),
        ("Host key verification failed.\nfatal: Could not read from remote repository.", Refused),
        ("fatal: remote error: access denied or repository not exported: /x", Refused),
        ("fatal: '/x' does not appear to be a git repository\nfatal: Could not read from remote repository.", Refused),
        ("fatal: could not read Username for 'https://x': terminal prompts disabled", Refused),
        ("fatal: couldn't find remote ref refs/heads/x", Refused),
        ("fatal: remote error: service not enabled: /x", Refused),
        ("fatal: Not a valid object name abc", Refused),
        ("fatal: Unable to create '/m/packed-refs.lock': File exists.", Conflict),
        ("fatal: write error: No space left on device", Unreachable),
        ("error: something nobody has seen before", Refused),
    ],
)
def test_a_failure_is_sorted_by_who_must_act(said: str, kind: type[Trouble]) -> None:
    assert type(trouble("fetching prod", Answer(128, b"", said))) is kind


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("!\tabc:refs/heads/prod\t[rejected] (stale info)", StaleLease),
        ("!\tabc:refs/heads/prod\t[rejected] (fetch first)", StaleLease),
        (
            "!\tabc:refs/heads/prod\t[remote rejected] (cannot lock ref 'refs/heads/prod': is at 1 but expected 2)",
            StaleLease,
        ),
        ("!\tabc:refs/heads/prod\t[remote rejected] (failed to update ref)", StaleLease),
        ("!\tabc:refs/heads/prod\t[remote rejected] (protected branch hook declined)", Protected),
        ("!\tabc:refs/heads/prod\t[remote rejected] (pre-receive hook declined)", Protected),
        ("!\tabc:refs/heads/prod\t[remote rejected] (push declined due to repository rule violations)", Protected),
        ("!\tabc:refs/heads/prod\t[remote rejected] (unpacker error)", Unreachable),
        ("!\tabc:refs/heads/prod\t[remote rejected] (shallow update not allowed)", Refused),
    ],
)
def test_a_push_that_was_rejected_is_no_broken_connection(line: str, kind: type[Trouble]) -> None:
    answer = Answer(
        1, f"To git://x/r.git\n{line}\nDone\n".encode(), "error: failed to push some refs to 'git://x/r.git'"
    )
    assert type(trouble("pushing", answer)) is kind


def test_a_refused_push_is_told_in_the_same_words_whatever_was_pushed() -> None:
    told = set()
    for commit in ("1234567890abcdef", "fedcba0987654321"):
        out = f"To git://x/r.git\n!\t{commit}:refs/heads/prod\t[remote rejected] (pre-receive hook declined)\nDone\n"
        told.add(str(trouble("pushing", Answer(1, out.encode(), "remote: only by pull request"))))
    assert len(told) == 1


def test_the_sentence_says_what_was_tried_what_came_back_and_what_to_do() -> None:
    assert str(trouble("fetching prod from git://127.0.0.1/r.git", Answer(128, b"", REFUSED))) == (
        "fetching prod from git://127.0.0.1/r.git: the server does not answer (git: fatal: unable to connect to "
        "127.0.0.1:; 127.0.0.1[0: 127.0.0.1]: errno=Connection refused). It is tried again; look whether the server "
        "and the way to it work."
    )


def test_a_password_in_a_url_is_never_shown() -> None:
    assert shown("https://bot:s3cret@x/r.git") == "https://x/r.git"
    assert "s3cret" not in folded("fatal: Authentication failed for 'https://bot:s3cret@x/r.git/'")


def test_what_a_person_configured_does_not_reach_git(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_DIR", "/somewhere")
    monkeypatch.setenv("GIT_SSH_COMMAND", "ssh -v")
    env = environment()
    assert "GIT_DIR" not in env
    assert env["GIT_CONFIG_NOSYSTEM"] == "1"
    assert env["GIT_CONFIG_GLOBAL"] == "/dev/null"
    assert env["GIT_TERMINAL_PROMPT"] == "0"
    assert env["LC_ALL"] == "C"
    assert "BatchMode=yes" in env["GIT_SSH_COMMAND"]


def test_a_machine_without_git_gets_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Refused, match=r"git is not on PATH\. Install git"):
        Git(tmp_path).run("version", attempt="looking for git")
