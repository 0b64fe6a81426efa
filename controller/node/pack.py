"""The node program as the one file that ships: ``python -m controller.node.pack build/node.pyz``.

A zip that Python runs. It holds the byte code of this Python, so that no start compiles anything, and the sources for
any other. Deterministic: the same sources and the same Python give the same bytes. Not a part of what it packs.
"""

from __future__ import annotations

import importlib.util
import marshal
import os
import sys
import zipfile
from pathlib import Path

PACKAGE = "node"
BEGIN = f'"""The node program, packed."""\nimport sys\n\nfrom {PACKAGE}.__main__ import main\n\nsys.exit(main())\n'
LONG_AGO = (1980, 1, 1, 0, 0, 0)


def pack(to: Path) -> Path:
    """Write the node program to the file ``to``; nobody sees it half-written."""
    here = Path(__file__)
    sources = {f"{PACKAGE}/{path.name}": path.read_bytes() for path in sorted(here.parent.glob("*.py")) if path != here}
    to.parent.mkdir(parents=True, exist_ok=True)
    partial = to.with_name(f".{to.name}.{os.getpid()}.tmp")
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as file:
        for name, content in {"__main__.py": BEGIN.encode(), **sources}.items():
            for member, bits in ((name + "c", compiled(name, content)), (name, content)):
                known = zipfile.ZipInfo(member, LONG_AGO)
                known.external_attr = 0o644 << 16
                file.writestr(known, bits)
    partial.replace(to)
    return to


def compiled(name: str, content: bytes) -> bytes:
    """Byte code that is believed without a look at its source.

    In marshal's second version, which knows no back references: whether an object gets one depends on what else this
    process has in memory.
    """
    code = compile(content, name, "exec", dont_inherit=True, optimize=0)
    unchecked = (0b01).to_bytes(4, "little")
    return importlib.util.MAGIC_NUMBER + unchecked + importlib.util.source_hash(content) + marshal.dumps(code, 2)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m controller.node.pack FILE")
    pack(Path(sys.argv[1]))
