"""The long way to read a call: a parser with help and a message for everything that can be wrong in it."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, NoReturn

from .errors import Json, Refused
from .verbs import REQUIRED, VERBS, Argument, Unfit


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise Refused("usage", f"{self.prog}: {message}.")


def parser() -> Parser:
    top = Parser(prog="node", description="The node program: one node's promises.")
    top.add_argument("root")
    verbs = top.add_subparsers(dest="verb", required=True, parser_class=Parser)
    for name, (about, arguments) in VERBS.items():
        one = verbs.add_parser(name, help=about)
        for argument in arguments:
            add(one, argument)
    return top


def add(one: argparse.ArgumentParser, argument: Argument) -> None:
    more: dict[str, Any] = {"help": argument.about or None}
    if argument.kind is None:
        more |= {"action": "store_true"}
    else:
        more |= {"type": said(argument.kind)}
        if argument.many:
            more |= {"nargs": "+", "metavar": argument.about}
    if argument.name.startswith("-"):
        more |= {"dest": argument.into, "required": argument.default is REQUIRED}
    if argument.default is not REQUIRED:
        more |= {"default": argument.default}
    one.add_argument(argument.name, **more)


def said(kind: Callable[[str], object]) -> Callable[[str], object]:
    """``kind``, with its own words in the message where it has any."""

    @wraps(kind)
    def read(text: str) -> object:
        try:
            return kind(text)
        except Unfit as problem:
            raise argparse.ArgumentTypeError(str(problem)) from None

    return read


def read(words: Sequence[str]) -> tuple[str, str, Json]:
    """Root, verb and what it was given; raises Refused with what is wrong."""
    given = vars(parser().parse_args(words))
    return given.pop("root"), given.pop("verb"), given
