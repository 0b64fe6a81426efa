"""How the commands of this package end: 0 done · 1 error or bad usage · 2 the answer is no, as in all of the product.

argparse's own 2 for bad usage would read as an answer.
"""

import argparse
import sys
from typing import NoReturn

DONE, ERROR, NO = 0, 1, 2


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaints end with ``ERROR``; so do those of its subcommands."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(ERROR, f"{self.prog}: {message}\n")
