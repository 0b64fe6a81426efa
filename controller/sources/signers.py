"""A signers file: who may sign a commit, by SSH keys and by OpenPGP keys, and which of them are a forge's.

Pure. An SSH key is a line as git's allowedSignersFile has it. An OpenPGP key is an armoured block, as a forge publishes
it, below a line that says whose it is::

    ann namespaces="git" ssh-ed25519 AAAA…
    forge openpgp
    -----BEGIN PGP PUBLIC KEY BLOCK-----
    …
    -----END PGP PUBLIC KEY BLOCK-----

What such keys vouch for stands in ``admission``; how signatures are verified in ``git`` and ``openpgp``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

FORGE = "forge"
"""The principal of a forge's own key."""
KIND = "openpgp"
BEGIN, END = "-----BEGIN PGP PUBLIC KEY BLOCK-----", "-----END PGP PUBLIC KEY BLOCK-----"


@dataclass
class BadSigners(Exception):
    """A signers file that does not say whose its keys are: where and what, and what to do."""

    said: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One key, with its line or lines as they stand in the file."""

    principals: tuple[str, ...]
    text: str
    armoured: str = ""
    """The block of an OpenPGP key."""


@dataclass(frozen=True, slots=True)
class Signers:
    """The lines of a signers file: those of people, and those of a forge that signs what it merges."""

    people: str
    forge: str

    @classmethod
    def of(cls, text: str) -> Signers:
        """Raises BadSigners."""
        found = tuple(entries(text))
        forge = [entry.text for entry in found if FORGE in entry.principals]
        people = [entry.text for entry in found if FORGE not in entry.principals]
        return cls("\n".join(people), "\n".join(forge))


def ssh_lines(text: str) -> str:
    """What is for git's allowedSignersFile."""
    return "".join(f"{entry.text}\n" for entry in entries(text) if not entry.armoured)


def openpgp_keys(text: str) -> str:
    """The armoured blocks, one below the other; empty where there are none."""
    return "".join(f"{entry.armoured}\n" for entry in entries(text) if entry.armoured)


def entries(text: str) -> Iterator[Entry]:
    """Every key of the file. Raises BadSigners for an OpenPGP key that is not whole or is nobody's."""
    owner: str | None = None
    block: list[str] = []
    began = 0
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if block:
            block.append(line.strip())
            if line.strip() == END:
                assert owner is not None  # a block only begins below it
                armoured = "\n".join(block)
                yield Entry(_principals(owner), f"{owner}\n{armoured}", armoured)
                owner, block = None, []
        elif line.strip() == BEGIN and owner is None:
            raise BadSigners(f"line {number}: nobody's OpenPGP key begins here", f"Write `NAME {KIND}` above it.")
        elif line.strip() == BEGIN:
            block, began = [BEGIN], number
        elif line.startswith("-----BEGIN PGP"):
            said = f"line {number}: {line.strip(' -')[6:].lower().replace('pgp', 'PGP')} is no public key"
            raise BadSigners(said, "Take it out; if it is a private key, make a new one.")
        elif owner is not None and words:
            raise BadSigners(f"line {number}: no OpenPGP key follows `{owner}`", "Put its armoured block below it.")
        elif words[1:] == [KIND]:
            owner = line.strip()
        elif words and not words[0].startswith("#"):
            yield Entry(_principals(line), line)
    if block or owner is not None:
        cut = (
            f"line {began}: the OpenPGP key that begins here has no end"
            if block
            else f"no OpenPGP key follows `{owner}`"
        )
        raise BadSigners(cut, "Put the whole armoured block there.")


def _principals(line: str) -> tuple[str, ...]:
    return tuple(line.split()[0].strip('"').split(","))
