"""``waivers.toml`` on good and bad input, and what waivers do to findings and what they may not."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from controller.drift.finding import Finding, Kind, Severity, State, Waiver
from controller.drift.waiving import laid_on
from environments import BadEnvironment
from environments.waivers import Accepted, read_waivers

TODAY = date(2026, 11, 24)
GOOD = """
# accepted for now
[[waiver]]
match = "alignment stage:prod aws.ec2.Volume disk *"
reason = "the new disks come in December"
owner = "platform"
expires = 2026-12-31
"""
ABOUT = "stage:prod aws.ec2.Volume disk size"
DISK = Finding(Kind.ALIGNMENT, ABOUT, "a disk", ("prod",), Severity.HIGH, State.UNEXPLAINED, "It is.")
WAIVER = Waiver("alignment stage:prod aws.ec2.Volume disk *", "soon", "platform", date(2026, 12, 31), "waivers.toml:3")


def parsed(text: str) -> tuple[Accepted, ...]:
    return read_waivers(lambda file: text.encode(), TODAY, tuple(Kind))


def complaints(text: str) -> list[str]:
    with pytest.raises(BadEnvironment) as bad:
        parsed(text)
    return [str(problem) for problem in bad.value.problems]


def test_a_waiver_knows_its_line() -> None:
    (one,) = parsed(GOOD)
    assert (one.owner, one.expires, one.place) == ("platform", date(2026, 12, 31), "environments/waivers.toml:3")


def test_no_file_is_no_waiver() -> None:
    assert read_waivers(lambda file: None, TODAY, tuple(Kind)) == ()


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("2026-12-31", "2027-06-01", "2027-06-01 is 189 days ahead; write 2027-02-22 at the latest, and renew it then"),
        ('owner = "platform"\n', "", "this key is missing (who answers for it)"),
        ('"platform"', '""', '"" cannot stand here; write text (who answers for it)'),
        ("2026-12-31", '"soon"', '"soon" is no date; write one such as 2027-01-31, without quotes'),
        ("owner", "ovner", "this is not a known key; a waiver has match, reason, owner, expires"),
        ('"alignment stage', '"alignmend stage', "begins with no kind of finding; begin with one of live, alignment"),
    ],
)
def test_a_waiver_that_cannot_be_one_gets_a_sentence_with_its_line(old: str, new: str, says: str) -> None:
    found = complaints(GOOD.replace(old, new))
    assert any(says in one and "line 3" in one for one in found), found


def test_text_that_is_no_toml_is_named_by_its_line() -> None:
    assert "line 1" in complaints("[[waiver]\n")[0]


def test_an_accepted_difference_is_waived_and_says_by_whom_and_for_how_long() -> None:
    (one,) = laid_on([DISK], [WAIVER], TODAY)
    assert (one.state, one.why) == (State.WAIVED, "It is. platform accepted it: soon. It holds for 37 days more.")


def test_a_waiver_that_ran_out_is_a_finding_again() -> None:
    (one,) = laid_on([DISK], [replace(WAIVER, expires=date(2026, 11, 22))], TODAY)
    assert (one.state, one.open) == (State.EXPIRED, True)
    assert "it ran out 2 days ago" in one.why
    assert one.remedies[-1].does == "waivers.toml:3: expires"


def test_the_last_day_still_counts() -> None:
    (one,) = laid_on([DISK], [replace(WAIVER, expires=TODAY)], TODAY)
    assert one.state is State.WAIVED


def test_no_waiver_hides_that_something_is_gone() -> None:
    (one,) = laid_on([replace(DISK, removed=True)], [WAIVER], TODAY)
    assert one.state is State.UNEXPLAINED
    assert one.why.endswith("The waiver at waivers.toml:3 does not hide that it is gone.")


@pytest.mark.parametrize("state", [State.UNSEEN, State.EXPLAINED])
def test_no_waiver_changes_what_was_not_looked_at_or_needs_none(state: State) -> None:
    finding = replace(DISK, state=state)
    assert [*laid_on([finding], [WAIVER], TODAY)] == [finding]


def test_a_bracket_in_a_name_is_a_bracket() -> None:
    rule = replace(DISK, about="stage:prod group ingress[0]")
    (one,) = laid_on([rule], [replace(WAIVER, match="alignment stage:prod group ingress[0]")], TODAY)
    assert one.state is State.WAIVED


def test_a_waiver_that_ran_out_and_hides_nothing_asks_to_be_removed() -> None:
    (one,) = laid_on([], [replace(WAIVER, expires=date(2026, 11, 1))], TODAY)
    assert (one.kind, one.state, one.remedies[0].does) == (
        Kind.WAIVER,
        State.EXPIRED,
        "waivers.toml:3: delete this waiver",
    )
