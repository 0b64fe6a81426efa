"""The command line on good and on bad input: exit codes and sentences, on ledgers that hold whole rollouts.

Where a command needs nodes and a git server it is tried with the release loop; here neither is running.
"""

from __future__ import annotations

import json
import signal
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from controller import cli
from controller.ledgers.sqlite import SqliteLedger
from tests.tales import TALES

Command = Callable[..., tuple[int, str]]


@pytest.fixture
def turnabout(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Command]:
    """The command in a folder that has a site of two environments; its exit code and all that it printed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setenv("TURNABOUT_WHO", "ann")
    monkeypatch.delenv("TURNABOUT_SITE", raising=False)
    (tmp_path / "turnabout.toml").write_text('environments = ["stage", "prod"]\n')
    before = signal.getsignal(signal.SIGPIPE)

    def run(*argv: str) -> tuple[int, str]:
        try:
            code = cli.main(argv)
        except SystemExit as exit:
            code = exit.code if isinstance(exit.code, int) else -1
        out = capsys.readouterr()
        return code, out.out + out.err

    yield run
    signal.signal(signal.SIGPIPE, before)


@pytest.fixture
def told(tmp_path: Path) -> Callable[[str], Path]:
    """Writes the ledger of prod from one of the tales, and says where it is."""

    def write(name: str) -> Path:
        path = tmp_path / "controller" / "prod" / "ledger.db"
        at = iter([row.at for row in TALES[name]().written])
        ledger = SqliteLedger(path, lambda: next(at))
        for row in TALES[name]().written:
            ledger.append(row.kind, row.body, row.generation)
        ledger.close()
        return path

    return write


# ---- bad input ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ((), "turnabout: the following arguments are required: COMMAND"),
        (("deploy",), "turnabout: argument COMMAND: invalid choice: 'deploy'"),
        (("abort", "prod"), "turnabout abort: the following arguments are required: --reason"),
        (("plan",), "turnabout plan: the following arguments are required: environment"),
        (("watch", "prod", "--onec"), "turnabout: unrecognized arguments: --onec"),
        (("history", "prod", "--limit", "few"), "turnabout history: argument --limit: invalid int value: 'few'"),
    ],
)
def test_bad_usage_ends_with_1_and_says_what_is_wrong(turnabout: Command, argv: tuple[str, ...], said: str) -> None:
    code, printed = turnabout(*argv)
    assert code == 1
    assert printed.startswith("usage: turnabout")
    assert said in printed


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
        "turnabout.toml: No such file or directory. Name the site with --site, or write one (see docs/site.md).\n",
    )
    assert not Path("controller").exists(), "nothing was made"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("environments = [prod]", "it is no TOML: Invalid value (at line 1, column 17)."),
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


def test_a_row_that_was_changed_by_hand_is_found_by_its_hash(
    turnabout: Command, told: Callable[[str], Path]
) -> None:
    n = tampered(told("reverted"), "replace(body, '\"t\":', '\"t\": ')")
    code, printed = turnabout("history", "prod", "--verify")
    assert (code, printed) == (1, f"prod: 80 rows, row {n} does not follow from the one before it.\n")
    code, printed = turnabout("doctor")
    assert code == 2
    assert f"row {n} does not follow from the one before it: the file was changed by hand or damaged" in printed


@pytest.mark.parametrize("argv", [("status",), ("history", "prod"), ("watch", "prod", "--once"), ("show", "42")])
def test_a_row_that_is_no_json_any_more_ends_in_a_sentence(
    turnabout: Command, told: Callable[[str], Path], argv: tuple[str, ...]
) -> None:
    path = told("reverted")
    n = tampered(path, "'{'")
    code, printed = turnabout(*argv)
    assert code == 1
    assert printed.startswith(f"reading the ledger {path}: row {n} is no JSON")
    assert printed.endswith("the file was changed by hand or is damaged. Restore it from a copy.\n")


@pytest.mark.parametrize("argv", [("plan", "prod"), ("run",), ("promote", "stage", "prod")], ids=lambda argv: argv[0])
def test_without_a_platform_the_commands_that_need_one_say_how_to_get_it(
    turnabout: Command, tmp_path: Path, argv: tuple[str, ...]
) -> None:
    code, printed = turnabout(*argv)
    assert code == 1
    missing = tmp_path / "stage" / "outputs.json"
    assert printed == (
        f"{missing}: No such file or directory. Bring the platform up, or run `pulumi up`, to write it.\n"
    )


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
def test_what_a_rollout_became_is_the_exit_code(turnabout: Command, told: Callable[[str], Path], tale: str) -> None:
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
    turnabout: Command, told: Callable[[str], Path], tale: str, code: int
) -> None:
    told(tale)
    assert turnabout("status")[0] == code
    assert turnabout("status", "stage")[0] == 0
    found, printed = turnabout("status", "--json")
    assert found == code
    assert [view["environment"] for view in json.loads(printed)] == ["stage", "prod"]


def test_before_anything_was_rolled_out_reading_says_so(turnabout: Command) -> None:
    assert turnabout("watch", "prod", "--once") == (1, "prod: nothing was rolled out yet.\n")
    code, printed = turnabout("history", "prod")
    assert (code, printed.strip()) == (0, "Nothing was rolled out yet.")
    assert turnabout("show", "7") == (
        1, "showing 7: prod, stage has no such rollout. See turnabout history ENVIRONMENT.\n",
    )  # fmt: skip
    assert turnabout("show", "newest") == (
        1, "showing newest: a rollout is named by its number. For example: turnabout show prod/42.\n",
    )  # fmt: skip


def test_history_is_newest_first_and_whole(turnabout: Command, told: Callable[[str], Path]) -> None:
    told("reverted")
    code, printed = turnabout("history", "prod", "--limit", "3")
    assert code == 0
    assert [line.split()[0] for line in printed.splitlines()[1:4]] == ["42", "41", "40"]
    assert turnabout("history", "prod", "--verify") == (0, "prod: 80 rows, every hash follows.\n")


def test_samples_are_asked_for_by_a_check_that_there_is(turnabout: Command, told: Callable[[str], Path]) -> None:
    told("reverted")
    assert turnabout("show", "42", "--samples", "errors")[0] == 0
    code, printed = turnabout("show", "42", "--samples", "errosr")
    assert (code, printed) == (
        1, "showing samples of errosr: rollout 42 has no such check. It has errors, slow, stored.\n",
    )  # fmt: skip


# ---- what people ask for --------------------------------------------------------------------------------------------


def test_an_order_is_a_row_with_who_and_why(turnabout: Command, told: Callable[[str], Path]) -> None:
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
    turnabout: Command, told: Callable[[str], Path], tale: str, argv: tuple[str, ...], said: str
) -> None:
    path = told(tale)
    assert turnabout(*argv, "--reason", "r") == (2, f"{said}\n")
    with sqlite3.connect(path) as db:
        assert db.execute("SELECT count(*) FROM rows WHERE kind = 'order'").fetchone() == (0,)
    db.close()


def test_a_release_that_never_ran_is_no_way_back(turnabout: Command, told: Callable[[str], Path]) -> None:
    told("promoted")
    assert turnabout("revert", "prod", "--to", "0badcafe", "--reason", "r") == (
        2, "prod never ran 0badcafe: turnabout history prod lists what it did.\n",
    )  # fmt: skip


def test_what_is_quarantined_is_listed_and_cleared_by_name(turnabout: Command, told: Callable[[str], Path]) -> None:
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


# ---- check ----------------------------------------------------------------------------------------------------------


def test_check_says_every_complaint_at_once(turnabout: Command) -> None:
    checkout = Path(__file__).resolve().parents[2]
    assert turnabout("check", "--folder", str(checkout)) == (0, "dev, stage, prod: no complaints.\n")
    assert turnabout("check", "prod", "--folder", str(checkout)) == (0, "prod: no complaints.\n")
    code, printed = turnabout("check", "prdo", "--folder", str(checkout))
    assert code == 2
    assert 'there is no such environment (did you mean "prod"?)' in printed

    Path("environments").mkdir()
    Path("environments", "base.toml").write_text((checkout / "environments" / "base.toml").read_text())
    broken = (checkout / "environments" / "dev.toml").read_text().replace("nodes_per_zone = 2", "nodes_per_zone = 0")
    Path("environments", "dev.toml").write_text(broken + '\ncolour = "red"\n')
    code, printed = turnabout("check")
    assert code == 2
    assert printed.startswith("environments/dev.toml: ")
    assert printed.count("  - ") >= 3
    code, printed = turnabout("check", "--json")
    assert code == 2
    assert json.loads(printed)["good"] is False


def test_check_of_a_folder_without_environments_is_no_good_answer(turnabout: Command) -> None:
    assert turnabout("check") == (2, "environments defines no environment; name a checkout with --folder.\n")


def test_check_names_environments_without_the_metrics_server_that_an_application_asks(turnabout: Command) -> None:
    checkout = Path(__file__).resolve().parents[2]
    for folder, name in (("environments", "base.toml"), ("environments", "dev.toml"), ("apps/mqtt", "release.toml")):
        Path(folder).mkdir(parents=True, exist_ok=True)
        Path(folder, name).write_text((checkout / folder / name).read_text())
    Path("apps/c360").symlink_to(checkout / "apps" / "c360")
    check = '[[checks]]\nname = "lag"\nkind = "prometheus"\nquery = "max by (node) (lag)"\nat_most = 5\n'
    with Path("apps/mqtt/release.toml").open("a") as file:
        file.write(check)
    assert turnabout("check") == (
        2,
        "environments/dev.toml: judge.prometheus: this key is missing; "
        "lag of apps/mqtt/release.toml asks that server\n",
    )
    overlay = Path("environments/dev.toml")
    overlay.write_text(overlay.read_text() + '\n[judge]\nprometheus = "http://p:9090"\n')
    assert turnabout("check") == (0, "dev: no complaints.\n")


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


@pytest.mark.parametrize("alpha", ["0", "1", "-0.5", "nan"])
def test_an_alpha_that_is_no_chance_is_refused(turnabout: Command, told: Callable[[str], Path], alpha: str) -> None:
    told("reverted")
    assert turnabout("replay", "prod/42", f"--alpha={alpha}") == (
        1,
        f"judging rollout 42 again: an alpha of {float(alpha):g} is the chance of nothing. "
        "Write one above 0 and below 1, such as 0.01.\n",
    )
