"""The command line on good and on bad input: exit codes and sentences, on ledgers that hold whole rollouts.

Where a command needs nodes and a git server it is tried with the release loop; here neither is running.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from controller import cli
from controller.ledgers.sqlite import Leadership, SqliteLedger, leader
from controller.rollout import rows
from infra.outputs import SCHEMA, to_json
from tests.tales import TALES
from tests.unit.test_outputs import PLATFORM

Command = Callable[..., tuple[int, str]]


@pytest.fixture
def turnabout(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """The command in a folder that has a site of two environments; its exit code and all that it printed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setenv("TURNABOUT_WHO", "ann")
    monkeypatch.delenv("TURNABOUT_SITE", raising=False)
    (tmp_path / "turnabout.toml").write_text('environments = ["stage", "prod"]\n')

    def run(*argv: str) -> tuple[int, str]:
        try:
            code = cli.main(argv)
        except SystemExit as exit:
            code = exit.code if isinstance(exit.code, int) else -1
        out = capsys.readouterr()
        return code, out.out + out.err

    return run


@pytest.fixture
def told(tmp_path: Path) -> Callable[..., Path]:
    """Writes a ledger from one of the tales, that of prod unless another is named, and says where it is."""

    def write(name: str, environment: str = "prod") -> Path:
        path = tmp_path / "controller" / environment / "ledger.db"
        at = iter([row.at for row in TALES[name]().written])
        ledger = SqliteLedger(path, lambda: next(at))
        for row in TALES[name]().written:
            ledger.append(row.kind, row.body, row.generation)
        ledger.close()
        return path

    return write


@pytest.fixture
def led(tmp_path: Path) -> Iterator[None]:
    """Somebody leads both environments."""
    with ExitStack() as stack:
        for name in ("stage", "prod"):
            stack.enter_context(Leadership(tmp_path / "controller" / name / "leader.lock"))
        yield


def test_who_stops_reading_is_left_alone(turnabout: Command, told: Callable[..., Path]) -> None:
    told("promoted")
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "controller.cli", "history", "prod", "--json"]
    left = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, timeout=60)
    os.close(writing)
    assert (left.returncode, left.stderr) == (141, b"")


def test_a_peer_that_hangs_up_does_not_end_the_process(turnabout: Command) -> None:
    """A controller answers webhooks and asks balancers: SIGPIPE stays ignored, as Python leaves it."""
    turnabout("status")
    assert signal.getsignal(signal.SIGPIPE) is signal.SIG_IGN


# ---- bad input ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ((), "turnabout: the following arguments are required: COMMAND"),
        (("deploy",), "turnabout: argument COMMAND: invalid choice: 'deploy'"),
        (("abort", "prod"), "turnabout abort: the following arguments are required: --reason"),
        (("plan",), "turnabout plan: the following arguments are required: environment"),
        (("histroy", "prod"), "turnabout: argument COMMAND: invalid choice: 'histroy' (did you mean history?)"),
        (("--bogus", "status"), "turnabout: unrecognized arguments: --bogus"),
        (("watch", "prod", "--onec"), "turnabout watch: unrecognized arguments: --onec (did you mean --once?)"),
        (("history", "prod", "--limit", "-3"), "turnabout history: argument --limit: '-3' is no number of rollouts;"),
        (("replay", "42", "--alpha", "7"), "turnabout replay: argument --alpha: '7' is no chance of a false revert;"),
        (("replay", "42", "--alpha", "nan"), "turnabout replay: argument --alpha: 'nan' is no chance"),
        (("hold", "prod", "--reason", " "), "turnabout hold: argument --reason: it is blank; say why in a few words"),
        (("retry", "prod", "--reason", ""), "turnabout retry: argument --reason: it is blank; say why in a few words"),
    ],
)
def test_bad_usage_ends_with_1_and_says_what_is_wrong(turnabout: Command, argv: tuple[str, ...], said: str) -> None:
    code, printed = turnabout(*argv)
    assert code == 1
    assert printed.startswith("usage: turnabout")
    assert said in printed


def test_an_option_that_a_command_does_not_know_is_answered_with_that_commands_usage(turnabout: Command) -> None:
    code, printed = turnabout("status", "--bogus")
    assert (code, printed) == (
        1,
        "usage: turnabout status [-h] [--json] [environment ...]\nturnabout status: unrecognized arguments: --bogus\n",
    )


def test_every_argument_of_every_command_says_what_it_is() -> None:
    commands = next(a for a in cli.parser()._actions if isinstance(a, argparse._SubParsersAction)).choices
    actions = [(name, action) for name, command in commands.items() for action in command._actions]
    assert len(actions) > 50
    assert [(name, action.dest) for name, action in actions if not action.help and action.dest != "action"] == []


EVERY = (
    ("plan", "prod"), ("run",), ("status",), ("watch", "prod", "--once"), ("show", "42"), ("history", "prod"),
    ("approve", "prod", "--reason", "r"), ("abort", "prod", "--reason", "r"), ("hold", "prod", "--reason", "r"),
    ("resume", "prod", "--reason", "r"), ("retry", "prod", "--reason", "r"), ("revert", "prod", "--reason", "r"),
    ("promote", "stage", "prod"), ("doctor",),
)  # fmt: skip


@pytest.mark.parametrize("argv", EVERY, ids=lambda argv: argv[0])
def test_without_a_site_every_command_says_how_to_name_one(turnabout: Command, argv: tuple[str, ...]) -> None:
    Path("turnabout.toml").unlink()
    assert turnabout(*argv) == (
        1,
        "turnabout.toml: No such file or directory. Name the site with --site or in TURNABOUT_SITE, "
        "or write one (see docs/site.md).\n",
    )
    assert not Path("controller").exists(), "nothing was made"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("environments = [prod]", "line 1, column 17: this is not TOML: invalid value; the line is `environments"),
        ("environments = []", "1 problem\n  - environments: List should have at least 1 item after validation, not 0"),
        ('environment = ["prod"]\nkeys = 3', "3 problems\n"),
    ],
)
def test_a_site_that_cannot_be_read_is_told_whole(turnabout: Command, text: str, said: str) -> None:
    Path("turnabout.toml").write_text(text)
    code, printed = turnabout("status")
    assert code == 1
    assert printed.startswith(f"turnabout.toml: {said}")


@pytest.mark.parametrize("argv", [each for each in EVERY if "prod" in each], ids=lambda argv: argv[0])
def test_an_unknown_environment_is_named_beside_those_there_are(turnabout: Command, argv: tuple[str, ...]) -> None:
    wrong = tuple("prdo" if word == "prod" else word for word in argv)
    assert turnabout(*wrong) == (1, "There is no environment 'prdo' in turnabout.toml; it has stage, prod.\n")


@pytest.mark.parametrize("argv", [("status",), ("history", "prod"), ("watch", "prod", "--once"), ("show", "42")])
def test_a_ledger_that_is_no_ledger_is_named(turnabout: Command, argv: tuple[str, ...]) -> None:
    path = Path("controller", "prod", "ledger.db")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"this is a shopping list " * 50)
    code, printed = turnabout(*argv)
    assert code == 1
    assert printed == f"the ledger {path.resolve()}: file is not a database. Check the disk and who owns the file.\n"


def tampered(path: Path, change: str) -> int:
    """Change the fifth last row by hand, as somebody with the file could; its number."""
    with sqlite3.connect(path) as db:
        db.execute("DROP TRIGGER append_only_update")
        [(n,)] = db.execute("SELECT max(n) - 5 FROM rows").fetchall()
        db.execute(f"UPDATE rows SET body = {change} WHERE n = ?", (n,))
    db.close()
    return int(n)


def test_a_row_that_was_changed_by_hand_is_found_by_its_hash(turnabout: Command, told: Callable[..., Path]) -> None:
    n = tampered(told("reverted"), "replace(body, '\"t\":', '\"t\": ')")
    code, printed = turnabout("history", "prod", "--verify")
    assert (code, printed) == (1, f"prod: 80 rows, row {n} does not follow from the one before it.\n")
    code, printed = turnabout("doctor")
    assert code == 2
    assert f"row {n} does not follow from the one before it: the file was changed by hand or damaged" in printed


@pytest.mark.parametrize("argv", [("status",), ("history", "prod"), ("watch", "prod", "--once"), ("show", "42")])
def test_a_row_that_is_no_json_any_more_ends_in_a_sentence(
    turnabout: Command, told: Callable[..., Path], argv: tuple[str, ...]
) -> None:
    path = told("reverted")
    n = tampered(path, "'{'")
    code, printed = turnabout(*argv)
    assert code == 1
    assert printed.startswith(f"reading the ledger {path}: row {n} is no JSON")
    assert printed.endswith("the file was changed by hand or is damaged. Restore it from a copy.\n")


@pytest.mark.parametrize(
    ("argv", "needed"),
    [(("plan", "prod"), ("stage",)), (("promote", "stage", "prod"), ("stage",)), (("run",), ("stage", "prod"))],
    ids=["plan", "promote", "run"],
)
def test_without_a_platform_the_commands_that_need_one_say_how_to_get_it(
    turnabout: Command, tmp_path: Path, argv: tuple[str, ...], needed: tuple[str, ...]
) -> None:
    code, printed = turnabout(*argv)
    assert code == 1
    assert printed.splitlines() == [
        f"{tmp_path / name / 'outputs.json'}: No such file or directory. Bring the platform up, or run `pulumi up`, "
        "to write it."
        for name in needed
    ]


def test_a_controller_does_not_begin_with_outputs_of_another_version(turnabout: Command, tmp_path: Path) -> None:
    """However many environments there are, and though the first one's are good: nothing is made, locked or asked."""
    for name, schema in (("stage", SCHEMA), ("prod", "turnabout/outputs/2")):
        (tmp_path / name).mkdir()
        outputs = replace(PLATFORM, environment=name, repository=f"file://{tmp_path}", schema=schema)
        (tmp_path / name / "outputs.json").write_text(to_json(outputs))
    before = sorted(tmp_path.rglob("*"))

    assert turnabout("run") == (
        1,
        f"{tmp_path}/prod/outputs.json: 1 problem\n"
        f'  - schema: "turnabout/outputs/2" is not one this version reads (it reads "{SCHEMA}"); use the '
        "controller that belongs to the platform, or bring the platform up with this one.\n",
    )
    assert sorted(tmp_path.rglob("*")) == before


def test_doctor_looks_at_everything_though_the_first_thing_is_missing(turnabout: Command) -> None:
    code, printed = turnabout("doctor")
    assert code == 2
    lines = {line[4:28].strip(): line[:2] for line in printed.splitlines()}
    assert lines["python"] == lines["git"] == "ok"
    assert lines["repository"] == lines["prod outputs"] == lines["stage nodes"] == "NO"
    code, printed = turnabout("doctor", "--json")
    assert code == 2
    assert {found["what"]: found["good"] for found in json.loads(printed)["findings"]}["prod ledger"] is True


# ---- what is read ---------------------------------------------------------------------------------------------------

ENDS = {
    "reverted": 2, "promoted": 0, "held": 3, "stuck": 3, "frozen": 3, "both": 2, "superseded": 2, "crashed": 2,
}  # fmt: skip


@pytest.mark.parametrize("tale", ENDS)
def test_what_a_rollout_became_is_the_exit_code(turnabout: Command, told: Callable[..., Path], tale: str) -> None:
    told(tale)
    why = TALES[tale]().rollout.why
    for argv in (("watch", "prod", "--once"), ("show", "42"), ("show", "prod/42")):
        code, printed = turnabout(*argv)
        assert code == ENDS[tale], argv
        assert why.split(";")[0].split(" (")[0] in " ".join(printed.split()), argv
    code, printed = turnabout("show", "42", "--json")
    assert (code, json.loads(printed)["sentence"]) == (ENDS[tale], why)


@pytest.mark.parametrize(
    ("tale", "code"), [("promoted", 0), ("reverted", 0), ("held", 3), ("stuck", 3), ("waiting", 3)]
)
def test_status_ends_with_3_where_a_person_is_needed(
    turnabout: Command, told: Callable[..., Path], led: None, tale: str, code: int
) -> None:
    told(tale)
    assert turnabout("status")[0] == code
    assert turnabout("status", "stage")[0] == 0
    found, printed = turnabout("status", "--json")
    assert found == code
    assert [view["environment"] for view in json.loads(printed)] == ["stage", "prod"]


def test_where_nothing_was_ever_led_everything_says_so_and_no_ledger_is_made(turnabout: Command) -> None:
    nothing = "nothing was ever led here; turnabout run starts a controller"
    code, printed = turnabout("status", "prod")
    assert (code, printed.split("\n")[0].strip()) == (3, f"prod  {nothing}")
    assert turnabout("watch", "prod", "--once") == (1, f"prod: {nothing}.\n")
    assert turnabout("watch", "prod") == (1, f"prod: {nothing}.\n")
    code, printed = turnabout("history", "prod")
    assert (code, printed.strip()) == (0, "Nothing was rolled out yet.")
    assert turnabout("history", "prod", "--verify") == (
        1, "prod: nothing was ever led here, so there is no ledger to verify.\n",
    )  # fmt: skip
    for verb in ("hold", "abort", "approve", "retry"):
        assert turnabout(verb, "prod", "--reason", "r") == (
            2, "Nothing was ever led in prod: start a controller first (turnabout run), then give the order.\n",
        )  # fmt: skip
    assert not Path("controller").exists()


def test_a_rollout_is_named_so_that_only_one_can_be_meant(turnabout: Command, told: Callable[..., Path]) -> None:
    assert turnabout("show", "7") == (
        1, "showing 7: none of stage, prod has such a rollout. See turnabout history ENVIRONMENT.\n",
    )  # fmt: skip
    assert turnabout("show", "prod/7") == (
        1, "showing prod/7: prod has no such rollout. See turnabout history ENVIRONMENT.\n",
    )  # fmt: skip
    told("reverted")
    assert turnabout("show", "42")[0] == 2
    told("promoted", "stage")
    assert turnabout("show", "42") == (
        1, "showing 42: stage and prod each have a rollout 42. Ask for stage/42 or prod/42.\n",
    )  # fmt: skip
    assert (turnabout("show", "stage/42")[0], turnabout("show", "prod/42")[0]) == (0, 2)
    assert turnabout("show", "newest") == (
        1, "showing newest: a rollout is named by its number. For example: turnabout show prod/42.\n",
    )  # fmt: skip


def test_a_report_is_written_only_where_there_is_a_folder(turnabout: Command, told: Callable[..., Path]) -> None:
    told("reverted")
    assert turnabout("show", "42", "--html", "reports/r.html") == (
        1, "writing reports/r.html: there is no folder reports. Make it, or name another file.\n",
    )  # fmt: skip
    assert not Path("reports").exists()
    assert turnabout("show", "42", "--html", "controller") == (
        1, "writing controller: Is a directory. Name another file.\n",
    )  # fmt: skip
    assert turnabout("show", "42", "--html", "r.html") == (0, "r.html holds the report of rollout 42 of prod.\n")
    assert Path("r.html").read_text().startswith("<!doctype html>")


# ---- what keeps anything from going on ------------------------------------------------------------------------------


def blocked(path: Path, about: str, why: str | None, commit: str | None = None) -> None:
    """A row as the controller writes it, ten minutes after it began."""
    ledger = SqliteLedger(path, time.time)
    ledger.append(rows.BLOCKED, {"about": about, "commit": commit, "since": time.time() - 600, "why": why}, 3)
    ledger.close()


def test_that_no_controller_leads_is_said_wherever_it_matters(
    turnabout: Command, told: Callable[..., Path], tmp_path: Path
) -> None:
    path = told("promoted")
    blocked(path, "source", None)
    unled = "no controller leads it (last row 0 s ago): nothing moves and orders wait; turnabout run starts one"
    code, printed = turnabout("status", "prod")
    assert (code, printed.split("\n")[0].strip()) == (3, f"prod  {unled}")
    assert json.loads(turnabout("status", "prod", "--json")[1])[0]["led"] is False
    code, printed = turnabout("watch", "prod", "--once")
    assert (code, printed.split("\n")[0].strip()) == (0, f"prod: {unled}")
    assert f"prod: {unled}\n" in turnabout("watch", "prod", "--plain")[1]
    assert turnabout("hold", "prod", "--reason", "r")[1].split("\n")[1] == (
        "No controller leads prod now: the order waits for one (turnabout run)."
    )
    assert "NO  prod controller          none leads it: start one with turnabout run\n" in turnabout("doctor")[1]

    with Leadership(tmp_path / "controller" / "prod" / "leader.lock"):
        code, printed = turnabout("status", "prod")
        assert (code, "no controller" in printed) == (3, False), "held, and led"
        assert json.loads(turnabout("status", "prod", "--json")[1])[0]["led"] is True
        assert "no controller" not in turnabout("watch", "prod", "--once")[1]
        assert "No controller" not in turnabout("resume", "prod", "--reason", "r")[1]
        assert f"ok  prod controller          leads, pid {os.getpid()}\n" in turnabout("doctor")[1]
        assert turnabout("status", "prod")[0] == 0


def test_a_head_that_cannot_be_released_is_said_until_another_one_can(
    turnabout: Command, told: Callable[..., Path], led: None
) -> None:
    path = told("promoted")
    why = "The head of prod, 1234abc, cannot be released: environments/prod.toml: 1 problem\n  - line 3: no TOML"
    blocked(path, "head", why, "1234abc")
    code, printed = turnabout("status", "prod")
    assert code == 3
    assert "The head of prod, 1234abc, cannot be released: environments/prod.toml: 1 problem" in printed
    assert "10 minutes ago)" in printed
    [view] = json.loads(turnabout("status", "prod", "--json")[1])
    assert [(one["about"], one["commit"], one["why"]) for one in view["blocked"]] == [("head", "1234abc", why)]
    for more in (("--once",), ("--plain",)):
        code, printed = turnabout("watch", "prod", *more)
        assert code == 3, "the last rollout was promoted, but the branch asks for more"
        assert "The head of prod, 1234abc, cannot be released" in printed
    blocked(path, "head", None, "1234abc")
    assert turnabout("status", "prod")[0] == turnabout("watch", "prod", "--once")[0] == 0
    assert "cannot be released" not in turnabout("status", "prod")[1]


def test_what_is_read_beside_a_starting_controller_never_keeps_it_from_leading(tmp_path: Path) -> None:
    path = tmp_path / "leader.lock"
    path.touch()
    reader = path.open()
    fcntl.flock(reader, fcntl.LOCK_SH)
    threading.Timer(0.05, reader.close).start()  # a look takes far less
    with Leadership(path):
        assert leader(path) == str(os.getpid())
    assert leader(path) is None


def test_history_is_newest_first_and_whole(turnabout: Command, told: Callable[..., Path]) -> None:
    told("reverted")
    code, printed = turnabout("history", "prod", "--limit", "3")
    assert code == 0
    assert [line.split()[0] for line in printed.splitlines()[1:4]] == ["42", "41", "40"]
    assert turnabout("history", "prod", "--verify") == (0, "prod: 80 rows, every hash follows.\n")


def test_samples_are_asked_for_by_a_check_that_there_is(turnabout: Command, told: Callable[..., Path]) -> None:
    told("reverted")
    assert turnabout("show", "42", "--samples", "errors")[0] == 0
    code, printed = turnabout("show", "42", "--samples", "errosr")
    assert (code, printed) == (
        1, "showing samples of errosr: rollout 42 has no such check. It has errors, slow, stored.\n",
    )  # fmt: skip


# ---- what people ask for --------------------------------------------------------------------------------------------


def test_an_order_is_a_row_with_who_and_why(turnabout: Command, told: Callable[..., Path], led: None) -> None:
    told("promoted")
    assert turnabout("hold", "prod", "--reason", "the fair is on") == (
        0, "prod: held: nothing starts here until `turnabout resume prod`.\nWatch it: turnabout watch prod\n",
    )  # fmt: skip
    code, printed = turnabout("status", "prod")
    assert code == 3
    assert "held by ann: the fair is on" in printed
    code, printed = turnabout("resume", "prod", "--reason", "it is over", "--json")
    assert code == 0
    assert {"verb": "resume", "who": "ann", "reason": "it is over"}.items() <= json.loads(printed).items()
    assert turnabout("status", "prod")[0] == 0


@pytest.mark.parametrize(
    ("tale", "argv", "said"),
    [
        ("reverted", ("abort", "prod"), "Nothing to abort in prod: no rollout is in flight and the last is closed."),
        ("reverted", ("revert", "prod"), "Nothing to revert in prod: no rollout is in flight and the last is closed."),
        ("promoted", ("approve", "prod"), "Nothing waits for an approval in prod."),
        ("promoted", ("resume", "prod"), "prod is not held."),
        ("waiting", ("retry", "prod"), "Nothing is held or quarantined in prod."),
        ("waiting", ("quarantine", "clear", "prod"), "Nothing is quarantined in prod."),
        (
            "reverted",
            ("retry", "prod", "12345"),
            "Nothing that is held or quarantined in prod is 12345: see turnabout status prod.",
        ),
    ],
)
def test_an_order_that_could_change_nothing_is_answered_with_2(
    turnabout: Command, told: Callable[..., Path], tale: str, argv: tuple[str, ...], said: str
) -> None:
    path = told(tale)
    assert turnabout(*argv, "--reason", "r") == (2, f"{said}\n")
    with sqlite3.connect(path) as db:
        assert db.execute("SELECT count(*) FROM rows WHERE kind = 'order'").fetchone() == (0,)
    db.close()


@pytest.mark.parametrize("verb", ["abort", "revert"])
def test_what_goes_back_already_is_said_instead_of_a_second_going_back(
    turnabout: Command, told: Callable[..., Path], verb: str
) -> None:
    path = told("stuck")
    code, printed = turnabout(verb, "prod", "--reason", "r")
    assert code == 2
    assert printed.startswith(
        "Rollout 42 of prod goes back already and a revert commit and the quarantine follow, "
        f"so that {verb} would change nothing: dfw-a will not come back"
    )
    with sqlite3.connect(path) as db:
        assert db.execute("SELECT count(*) FROM rows WHERE kind = 'order'").fetchone() == (0,)
    db.close()


def test_an_abort_says_no_more_than_is_certain(turnabout: Command, told: Callable[..., Path], led: None) -> None:
    told("promoted")
    assert turnabout("abort", "prod", "--reason", "r") == (
        0,
        "prod: asked: unless something else was decided first, traffic goes off, nodes go back, "
        "and git stays as it is.\nWatch it: turnabout watch prod\n",
    )


def test_a_release_that_never_ran_is_no_way_back(turnabout: Command, told: Callable[..., Path]) -> None:
    told("promoted")
    assert turnabout("revert", "prod", "--to", "0badcafe", "--reason", "r") == (
        2, "prod never ran 0badcafe: turnabout history prod lists what it did.\n",
    )  # fmt: skip


def test_what_is_quarantined_is_listed_and_cleared_by_name(turnabout: Command, told: Callable[..., Path]) -> None:
    told("waiting")
    assert turnabout("quarantine", "list", "prod") == (0, "Nothing is quarantined in prod.\n")
    told("reverted")
    *others, bad = json.loads(turnabout("quarantine", "list", "prod", "--json")[1])["quarantine"]
    code, printed = turnabout("quarantine", "list", "prod")
    assert code == 0
    assert bad["commit"][:7] in printed
    assert turnabout("quarantine", "clear", "prod", "0badcafe", "--reason", "r") == (
        2, "Nothing that is held or quarantined in prod is 0badcafe: see turnabout status prod.\n",
    )  # fmt: skip
    code, printed = turnabout("quarantine", "clear", "prod", bad["commit"][:9], "--reason", "it was the network")
    assert (code, printed.splitlines()[0]) == (0, "prod: cleared: it is tried again as soon as the branch asks for it.")
    assert json.loads(turnabout("quarantine", "list", "prod", "--json")[1])["quarantine"] == others


# ---- replay ---------------------------------------------------------------------------------------------------------


def test_replaying_a_rollout_twice_says_the_same_to_the_byte(turnabout: Command, told: Callable[[str], Path]) -> None:
    told("reverted")
    for argv in (("--judge", "all", "--json"), ("--judge", "eprocess"), ("--judge", "mann-whitney", "--alpha", "0.05")):
        code, printed = turnabout("replay", "prod/42", *argv)
        assert (code, printed) == turnabout("replay", "prod/42", *argv)
        assert code == 2, printed


def test_a_replay_by_another_alpha_takes_as_long_as_that_needs(
    turnabout: Command, told: Callable[[str], Path]
) -> None:  # fmt: skip
    told("reverted")

    def after(alpha: str) -> float:
        [judged] = json.loads(turnabout("replay", "prod/42", "--json", "--alpha", alpha)[1])["judged"]
        assert (judged["judge"], judged["outcome"]) == ("eprocess", "FAIL")
        return float(judged["t"])

    assert after("0.2") < after("0.01")
