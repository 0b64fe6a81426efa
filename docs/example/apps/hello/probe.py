"""``python -m apps.hello.probe HOST PORT``: one round trip from outside; it ends with 0 when it worked."""

from __future__ import annotations

import sys
import urllib.request

if __name__ == "__main__":
    said = urllib.request.urlopen(f"http://{sys.argv[1]}:{sys.argv[2]}/hello/probe", timeout=4).read()
    sys.exit(0 if b"probe" in said else 1)
