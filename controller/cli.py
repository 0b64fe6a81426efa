"""The command line: every verb, its arguments and its help. A command is a parse, one call, one rendering.

The calls stand in ``controller.commands``, what people see in ``controller.faces``. Reading is the default and asks
nothing; what acts says so in its help and takes a reason.
"""

from __future__ import annotations

import argparse
import difflib
import os
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NoReturn

from controller.commands.exits import ERROR, INTERRUPTED, TABLE, UNREAD

EXAMPLES = """\
examples:
  turnabout check                       every complaint about environments and applications
  turnabout watch prod                  live: zones, nodes, evidence, time left
  turnabout show prod/42 --samples errors    the failing calls of that rollout
  turnabout abort prod --reason "wrong customer list"
  turnabout drift --between stage prod  every difference, and the setting that explains it
  turnabout promote dev stage           what dev has promoted, for stage to try
  turnabout demo                        the whole story on this machine, in about three minutes
"""


class Parser(argparse.ArgumentParser):
    """Bad usage exits 1: argparse's own 2 would read as "the answer is no"."""

    def error(self, message: str) -> NoReturn:
        wrong = re.search(r"invalid choice: '([^']*)' \(choose from (.*)\)", message)
        if wrong and (meant := nearest(wrong[1], re.findall(r"[\w-]+", wrong[2]))):
            message = message.replace(f"(choose from {wrong[2]})", meant)
        self.print_usage(sys.stderr)
        self.exit(ERROR, f"{self.prog}: {message}\n")

    def parse_known_args(self, args=None, namespace=None):  # type: ignore[no-untyped-def]  # argparse's own overloads
        """What a command does not know is its own complaint, with its own usage, not that of ``turnabout``."""
        known, rest = super().parse_known_args(args, namespace)
        if rest:
            meant = nearest(rest[0], self._option_string_actions) if rest[0].startswith("-") else ""
            self.error(f"unrecognized arguments: {' '.join(rest)} {meant}".rstrip())
        return known, rest


def nearest(word: str, known: Iterable[str]) -> str:
    meant = difflib.get_close_matches(word, [*known], n=1)
    return f"(did you mean {meant[0]}?)" if meant else ""


def reason(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("it is blank; say why in a few words, for the ledger and whoever reads it")
    return text.strip()


def count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of rollouts; write 1 or more")
    return int(text)


def seconds(text: str) -> float:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds; write 1 or more")
    return float(text)


def chance(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no chance of a false revert; write more than 0 and less than 1")
    return value


DELETIONS = 5
"""How many resources `infra up` deletes or replaces without being told that it may."""
ROLLOUT = "ENVIRONMENT/NUMBER; the number alone where only one environment has it"


def because(made: argparse.ArgumentParser) -> None:
    made.add_argument("--reason", required=True, type=reason, metavar="WHY", help="why, for the ledger and its readers")


def parser() -> Parser:
    top = Parser(
        prog="turnabout",
        description="GitOps for the edge: a bad release lives at most three minutes.",
        epilog=EXAMPLES + "\n" + TABLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--site", type=Path, default=None, metavar="FILE", help="the site (default: turnabout.toml here)")
    verbs = top.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def verb(name: str, help: str, *, environment: bool | str = False, json: bool = False) -> argparse.ArgumentParser:
        made = verbs.add_parser(name, help=help, description=help[0].upper() + help[1:] + ".")
        if environment:
            many = {"nargs": "*"} if environment == "many" else {}
            made.add_argument("environment", help="dev, stage, prod, …", **many)  # type: ignore[arg-type]  # argparse's own signature
        if json:
            made.add_argument("--json", action="store_true", help="one JSON object on stdout")
        return made

    checks = verb("check", "check environments and applications, say every complaint", environment="many", json=True)
    checks.add_argument("--folder", default=".", help="the checkout (default: here)")
    verb("plan", "say what would be rolled out next, and why not the rest", environment=True, json=True)
    verb("run", "run the controller for every environment of the site")
    verb("status", "what each environment runs, and what is going on", environment="many", json=True)
    watch = verb("watch", "watch an environment's rollout live; Ctrl-C only leaves", environment=True, json=True)
    watch.add_argument("--once", action="store_true", help="draw it once and exit with the outcome")
    watch.add_argument("--plain", action="store_true", help="one line per transition, as in a CI log")
    watch.add_argument("--ascii", action="store_true", help="only ASCII shapes")
    show = verb("show", "one rollout: why, on what evidence, what now", json=True)
    show.add_argument("rollout", help=ROLLOUT)
    show.add_argument("--samples", metavar="CHECK", help="the failing calls that were kept")
    show.add_argument("--html", type=Path, metavar="FILE", help="write the report, one self-contained page")
    replay = verb("replay", "judge a recorded rollout again, by this judge or another", json=True)
    replay.add_argument("rollout", help=ROLLOUT)
    judges = ["eprocess", "threshold", "mann-whitney", "all"]
    replay.add_argument("--judge", choices=judges, default="eprocess", help="who judges (default: eprocess)")
    said = "the chance of a false revert, between 0 and 1 (default: as it was judged)"
    replay.add_argument("--alpha", type=chance, metavar="CHANCE", help=said)
    history = verb("history", "an environment's rollouts, newest first", environment=True, json=True)
    history.add_argument("--limit", type=count, default=20, metavar="NUMBER", help="the newest so many (default: 20)")
    history.add_argument("--verify", action="store_true", help="check the ledger's hash chain")
    for name, help in (
        ("approve", "let a first release begin, go through a freeze window, or keep a frozen release"),
        ("abort", "stop what is in flight, or take back what was promoted; git stays"),
        ("hold", "let nothing start in an environment"),
        ("resume", "end a hold"),
    ):
        because(verb(name, help, environment=True, json=True))
    retry = verb("retry", "try again what was held or quarantined", environment=True, json=True)
    retry.add_argument("subject", nargs="?", default="", help="a commit or digest (default: all)")
    because(retry)
    revert = verb("revert", "take a release out: nodes back, a revert commit, quarantined", environment=True, json=True)
    revert.add_argument(
        "--to",
        default="",
        metavar="RELEASE",
        help="the release to go back to, as a commit or digest: any that ever ran there. Nodes that keep it go back at "
        "once; an older one, or any where the last rollout is closed, becomes a commit on the branch",
    )
    because(revert)
    quarantine = verb("quarantine", "what did harm and is not tried again; clear lets it be tried")
    actions = quarantine.add_subparsers(dest="action", metavar="{list,clear}", required=True)
    for action, help in (("list", "what is quarantined, and why"), ("clear", "let it be tried again")):
        made = actions.add_parser(action, help=help, description=help[0].upper() + help[1:] + ".")
        made.add_argument("environment", help="dev, stage, prod, …")
        made.add_argument("--json", action="store_true", help="one JSON object on stdout")
        if action == "clear":
            made.add_argument(
                "subject", nargs="?", default="", metavar="RELEASE", help="commit or digest (default: all)"
            )
            because(made)
    nodes = verb("node", "one node: another machine for it, or the files of its release laid down again")
    ways = nodes.add_subparsers(dest="action", metavar="{replace,mend}", required=True)
    help = "another machine for one node; never two of one zone at once"
    another = ways.add_parser("replace", help=help, description=help[0].upper() + help[1:] + ".")
    another.add_argument(
        "slot", metavar="SLOT", help="ENVIRONMENT/NODE; the node alone where only one environment has it"
    )
    another.add_argument(
        "--drain", type=seconds, default=120.0, metavar="SECONDS", help="for handing on (default: 120)"
    )
    another.add_argument("--within", type=seconds, default=900.0, metavar="SECONDS", help="to be back (default: 900)")
    another.add_argument("--json", action="store_true", help="one JSON object on stdout")
    because(another)
    help = "lay the files of its release down again, libraries too, as they were staged; starts and stops nothing"
    mend = ways.add_parser("mend", help=help, description=help[0].upper() + help[1:] + ".")
    mend.add_argument("slot", metavar="SLOT", help="ENVIRONMENT/NODE; the node alone where only one environment has it")
    mend.add_argument("--json", action="store_true", help="one JSON object on stdout")
    promote = verb("promote", "commit what one environment has promoted to the branch of the next", json=True)
    promote.add_argument("source", help="where it was promoted; its branch's head must be what runs there")
    promote.add_argument("target", help="the environment whose promotes_from names it")
    promote.add_argument(
        "--despite-drift", action="store_true", help="go on though the two differ in what nobody explains"
    )
    promote.add_argument("--reason", type=reason, metavar="WHY", help="why, for the target's ledger")
    promote.add_argument("--key", type=Path, metavar="FILE", help="an OpenSSH key to sign the commit with")
    drift = verb("drift", "how environments differ from what they say, and from each other", json=True)
    which = drift.add_mutually_exclusive_group()
    which.add_argument("--env", nargs="+", metavar="ENVIRONMENT", help="only these (default: all of the checkout)")
    which.add_argument("--between", nargs=2, metavar="ENVIRONMENT", help="these two, whatever promotes from what")
    kinds = ["live", "alignment", "release", "data", "runtime", "traffic", "history", "unmanaged", "waiver"]
    drift.add_argument("--kind", nargs="+", choices=kinds, metavar="KIND", help=f"only these of {', '.join(kinds)}")
    drift.add_argument("--folder", default=".", help="the checkout (default: here)")
    drift.add_argument(
        "--at", nargs="+", metavar="COMMIT",
        help="with --between: each as a commit of the checkout's repository has it; one commit is for both",
    )  # fmt: skip
    drift.add_argument(
        "--since", metavar="COMMIT", help="with --at: only what the second did not have there is new, and counts"
    )
    drift.add_argument(
        "--in-force", action="store_true", help="the environments of the site, each as its promoted commit has it"
    )
    for face, help in (
        ("html", "one self-contained page"),
        ("markdown", "for a pull request"),
        ("sarif", "SARIF 2.1.0"),
    ):
        drift.add_argument(f"--{face}", type=Path, metavar="FILE", help=f"write the report too: {help}")
    drift.add_argument("--whole", action="store_true", help="with every value of what is explained")
    stacks = verb("infra", "what an environment runs on, by Pulumi: look, bring up, compare")
    deeds = stacks.add_subparsers(dest="action", metavar="{preview,up,refresh}", required=True)
    for action, help in (
        ("preview", "say what would change, and change nothing"),
        ("up", "make it so; refused where too much would be deleted"),
        ("refresh", "say what was changed by hand; exit 2 if anything was"),
    ):
        made = deeds.add_parser(action, help=help, description=help[0].upper() + help[1:] + ".")
        made.add_argument("environment", help="dev, stage, prod, …")
        made.add_argument("--folder", default=".", help="the checkout (default: here)")
        made.add_argument("--json", action="store_true", help="one JSON object on stdout")
        if action == "refresh":
            made.add_argument("--adopt", action="store_true", help="take what is there into the stack's state")
        else:
            said = "preview: write down what would be done; up: do exactly that, or nothing"
            made.add_argument("--plan", type=Path, metavar="FILE", help=said)
            said = f"at most so many may be deleted or replaced (default: {DELETIONS})"
            made.add_argument("--deletions", type=int, default=DELETIONS, metavar="NUMBER", help=said)
            said = "let this protected resource be deleted as well; may be given again"
            made.add_argument("--unprotect", action="append", default=[], metavar="NAME", help=said)
    verb("doctor", "look whether everything that is needed is here and answers", json=True)
    demo = verb("demo", "tell the whole story on this machine, with real servers", json=False)
    demo.add_argument("--keep", action="store_true", help="leave everything running at the end, and say how to go on")
    demo.add_argument("--root", type=Path, default=Path("build/demo"), help="where it keeps its things")
    where = demo.add_mutually_exclusive_group()
    where.add_argument(
        "--fleet", choices=("local", "ssh"), default="local",
        help="ssh: each node in a network of its own, behind a bastion (needs root, and OpenSSH's server)",
    )  # fmt: skip
    where.add_argument(
        "--cloud", action="store_true",
        help="prod on what `pulumi up` makes in an emulated cloud (needs the checkout's tests, and Pulumi's engine)",
    )  # fmt: skip
    demo.add_argument("--plain", action="store_true", help="one line per event instead of the live view")
    return top


def main(argv: Sequence[str] | None = None) -> int:
    try:
        code = _obey(parser().parse_args(argv))
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # `turnabout … | head` ends quietly. Not by SIGPIPE's default: a controller would die of any peer that hangs up.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return UNREAD


def _obey(args: argparse.Namespace) -> int:
    from controller.errors import Trouble
    from controller.site import FILE, BadSite, load_site
    from environments import BadEnvironment
    from infra.outputs import BadOutputs

    path = args.site or Path(os.environ.get("TURNABOUT_SITE", FILE))
    try:
        match args.command:
            case "check":
                from controller.commands.check import check

                return check(args)
            case "drift":
                from controller.commands.drift import drift

                return drift(args)
            case "demo":
                from controller.demo import demo

                return demo(args)
            case "infra":
                from controller.commands.infra import infra

                return infra(args)
        site = load_site(path)
        match args.command:
            case "run":
                from controller.commands.run import run

                return run(args, site)
            case "plan" | "promote" as verb:
                from controller.commands import planning

                return {"plan": planning.plan, "promote": planning.promote}[verb](args, site)
            case "doctor":
                from controller.commands.doctor import doctor

                return doctor(args, site)
            case "status" | "watch" | "show" | "history" | "replay" as verb:
                from controller.commands import reading

                views = (reading.status, reading.watch, reading.show, reading.history, reading.replay)
                return {view.__name__: view for view in views}[verb](args, site)
            case "quarantine" if args.action == "list":
                from controller.commands.reading import quarantine

                return quarantine(args, site)
            case "node" if args.action == "mend":
                from controller.commands.mending import mend

                return mend(args, site)
            case "node":
                from controller.commands.machines import node

                return node(args, site)
            case _:
                from controller.commands.orders import give

                return give(args, site)
    except (BadEnvironment, BadOutputs, BadSite, Trouble) as error:
        print(error, file=sys.stderr)
        return ERROR
    except KeyboardInterrupt:
        return INTERRUPTED
    return ERROR


if __name__ == "__main__":
    sys.exit(main())
