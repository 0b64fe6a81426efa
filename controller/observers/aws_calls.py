"""Calls to AWS, each counted, all of them bounded, lists read page by page; errors sorted by who must act.

What is asked for stands beside it, in ``aws.py`` and its like.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from controller.errors import Refused, Unreachable

MOST_CALLS, TRIES, SECONDS = 400, 6, 20
"""Calls for one environment; tries of each, with growing pauses between; seconds for an answer."""
DENIED = ("UnauthorizedOperation", "AccessDenied", "AccessDeniedException", "AuthFailure")
GONE = ("NoSuch", "NotFound")
"""How the code of an error begins or ends that says: there is none."""
PAGES = (("NextToken", "NextToken"), ("NextMarker", "Marker"), ("PaginationToken", "PaginationToken"),
         ("NextContinuationToken", "ContinuationToken"), ("Marker", "Marker"))  # fmt: skip
"""What an answer calls the way to its next page, and what the next call calls it."""
LISTS_WHOLE = ("ec2",)
"""Services that answer with an empty list where there is nothing; others leave it out."""
BROKEN = "Look again; if it stays so, look at what stands between here and AWS."
Json = dict[str, Any]
Clients = Callable[[str], Any]
"""A boto3 client of a service."""


class Calls:
    """One look's calls. Every method raises Unreachable, and Refused where the account may not."""

    def __init__(self, clients: Clients, most: int = MOST_CALLS) -> None:
        self._clients, self._most = clients, most
        self.made = 0

    @property
    def region(self) -> str:
        return str(self._clients("ssm").meta.region_name)

    def all(self, service: str, call: str, many: str, **asked: Any) -> list[Json]:
        """A list, whole."""
        found: list[Json] = []
        more: Json = {}
        while True:
            page = self._ask(service, call, {**asked, **more}) or {many: []}
            if service in LISTS_WHOLE and many not in page:  # else a page of somebody else's would be an empty list
                raise Unreachable(f"asking AWS to {call}", f"its answer has no {many}", BROKEN)
            found += page.get(many) or []
            way = next(((ours, page[theirs]) for theirs, ours in PAGES if page.get(theirs)), None)
            if way is None or page.get("IsTruncated") is False:
                return found
            more = dict([way])

    def one(self, service: str, call: str, **asked: Any) -> Json | None:
        """One answer; None where there is no such thing."""
        return self._ask(service, call, asked)

    def _ask(self, service: str, call: str, asked: Json) -> Json | None:
        from botocore.exceptions import BotoCoreError, ClientError
        from botocore.parsers import ResponseParserError

        attempt = f"asking AWS to {call}"
        self.made += 1
        if self.made > self._most:
            raise Unreachable(attempt, f"that would be more than {self._most} calls", "Look at the account.")
        try:
            answer: Json = getattr(self._clients(service), call)(**asked)
            return answer
        except ClientError as error:
            code, said = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
            if code.startswith(GONE[0]) or code.endswith(GONE[1]):
                return None
            if code in DENIED:
                raise Refused(attempt, f"{code}: {said}", "Give whoever looks this right.") from error
            raise Unreachable(attempt, f"{code}: {said}", "Try again later.") from error
        except ResponseParserError as error:
            raise Unreachable(attempt, f"its answer is not whole ({str(error)[:80]} …)", BROKEN) from error
        except BotoCoreError as error:
            raise Unreachable(attempt, str(error), "Look at the credentials and at the way to AWS.") from error


def clients(region: str) -> Clients:
    """boto3's, as the surroundings say whose; throttling is waited out. Raises Refused without credentials or boto3."""
    attempt = "asking AWS"
    try:
        import boto3
        from botocore.config import Config
    except ImportError as missing:
        raise Refused(attempt, "boto3 is not installed", "Install it: make cloud") from missing
    session = boto3.session.Session(region_name=region)
    if session.get_credentials() is None:
        raise Refused(attempt, "there are no credentials", "Set AWS_PROFILE, or log in as AWS describes it.")
    patient = Config(
        retries={"mode": "standard", "total_max_attempts": TRIES}, connect_timeout=SECONDS, read_timeout=SECONDS
    )
    made: dict[str, Any] = {}

    def client(service: str) -> Any:
        return made.setdefault(service, made.get(service) or session.client(service, config=patient))

    return client
