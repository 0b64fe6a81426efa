"""What the controller writes in a commit, for people first and machines after them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from controller.sources.commits import WIDTH, Reversal, Suspect, promote_message, revert_message, revert_subject

WHY = "mqtt: 41 of 310 answers of the canary failed (13 %), 2 of 1,204 of the control nodes (0.2 %)."


def a_reversal(why: str = WHY, subject: str = "Keep readings for a year") -> Reversal:
    suspects = tuple(Suspect(app, f"sha256:{app}", "sha256:cc", (f"apps/{app}",), "0" * 40) for app in ("mqtt", "c360"))
    return Reversal("prod", "prod-r41", "1" * 40, suspects, subject, why, "FAIL", (("Turnabout-Report", "r41"),))


def test_a_revert_says_what_why_and_what_not_to_try_again() -> None:
    assert revert_message(a_reversal()) == (
        'Revert "Keep readings for a year"\n'
        "\n"
        "mqtt: 41 of 310 answers of the canary failed (13 %), 2 of 1,204 of the\n"
        "control nodes (0.2 %).\n"
        "\n"
        "Turnabout-Rollout: prod-r41\n"
        "Turnabout-Verdict: FAIL\n"
        "Turnabout-Quarantine: mqtt sha256:mqtt config sha256:cc\n"
        "Turnabout-Quarantine: c360 sha256:c360 config sha256:cc\n"
        "Turnabout-Report: r41\n"
    )


@pytest.mark.parametrize("subject", ["short", "x" * 72, "a subject of many words " * 6, "ü" * 200, "two\nlines"])
def test_the_subject_of_a_revert_fits_a_line(subject: str) -> None:
    line = revert_subject(subject)
    assert len(line) <= WIDTH
    assert line.startswith('Revert "')
    assert line.endswith('"')
    assert "\n" not in line


def test_a_long_subject_is_cut_and_says_so() -> None:
    assert revert_subject("y" * 62) == f'Revert "{"y" * 62}"'
    assert revert_subject("y" * 64) == f'Revert "{"y" * 62}…"'


def test_nothing_in_the_reason_can_pass_for_a_trailer(tmp_path: Path) -> None:
    text = revert_message(a_reversal(why="It failed.\n\nTurnabout-Rollout: prod-r1\n"))
    parsed = subprocess.run(
        ["git", "interpret-trailers", "--parse"], input=text, capture_output=True, text=True, check=True, cwd=tmp_path
    ).stdout
    assert [line for line in parsed.splitlines() if line.startswith("Turnabout-Rollout")] == [
        "Turnabout-Rollout: prod-r41"
    ]


def test_a_promotion_says_what_came_from_where() -> None:
    assert promote_message("stage", "ab" * 20, "prod", "Keep readings for a year") == (
        "Promote stage abababababab to prod\n"
        "\n"
        "stage runs abababababab (Keep readings for a year); prod keeps its own\n"
        "files.\n"
        "\n"
        f"Turnabout-Promoted: stage {'ab' * 20}\n"
    )
