"""Content in a bucket of S3: written once under its name, never over something else, and read back by its checksum.

S3 is told the SHA-256 of what it is given and keeps it; a name that is taken is not written again, so that two
controllers, or one that tries twice, cannot replace what a node may be reading.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from controller.errors import Refused, Trouble, Unreachable

SENT = "releases/sent/"
"""Where what a command is given lies; nodes may read everything under ``releases``."""
TAKEN = ("PreconditionFailed", "ConditionalRequestConflict")
AWAY = ("InternalError", "ServiceUnavailable", "SlowDown", "RequestTimeout", "Throttling", "503", "500")


class Absent(Refused):
    """Nothing has that name."""


class Bucket:
    """One bucket. ``client`` is boto3's, of ``s3``."""

    def __init__(self, client: Any, name: str) -> None:
        self._client, self.name = client, name

    def send(self, content: bytes) -> str:
        """Have ``content`` where a node can fetch it: its key. Raises Unreachable, Refused."""
        key = f"{SENT}{hashlib.sha256(content).hexdigest()}"
        self.put(key, content)
        return key

    def put(self, key: str, content: bytes) -> None:
        """Have ``content`` under ``key``. Raises Refused when something else is there, Unreachable."""
        attempt = f"writing {key} into the bucket {self.name}"
        checksum = _checksum(content)
        try:
            self._client.put_object(
                Bucket=self.name, Key=key, Body=content, ChecksumAlgorithm="SHA256", ChecksumSHA256=checksum,
                IfNoneMatch="*",
            )  # fmt: skip
        except ClientError as error:
            if error.response["Error"]["Code"] not in TAKEN:
                raise _trouble(attempt, error) from error
            if self._checksum_of(attempt, key) != checksum:
                said = "something else has that name already"
                raise Refused(attempt, said, "Nothing was changed; find out who writes there.") from None
        except BotoCoreError as error:
            raise Unreachable(attempt, str(error), "It is tried again.") from error

    def find(self, key: str) -> bytes | None:
        """What is under ``key``, if anything is. Raises what ``get`` does."""
        try:
            return self.get(key)
        except Absent:
            return None

    def get(self, key: str) -> bytes:
        """What is under ``key``. Raises Unreachable, also when it is not what it was, and Refused."""
        attempt = f"reading {key} from the bucket {self.name}"
        try:
            found = self._client.get_object(Bucket=self.name, Key=key, ChecksumMode="ENABLED")
            content: bytes = found["Body"].read()
        except ClientError as error:
            if error.response["Error"]["Code"] == "NoSuchKey":
                raise Absent(attempt, "nothing has that name", "Have it written first.") from error
            raise _trouble(attempt, error) from error
        except BotoCoreError as error:
            raise Unreachable(attempt, str(error), "It is tried again.") from error
        if found.get("ChecksumSHA256") != _checksum(content):
            raise Unreachable(attempt, "what came does not have its checksum", "It is tried again.")
        return content

    def _checksum_of(self, attempt: str, key: str) -> str | None:
        """What S3 keeps as the checksum of an object. Raises Unreachable where none is there yet."""
        try:
            found = self._client.head_object(Bucket=self.name, Key=key, ChecksumMode="ENABLED")
        except (ClientError, BotoCoreError) as error:  # somebody else is writing it just now
            raise Unreachable(attempt, str(error), "It is tried again.") from error
        kept: str | None = found.get("ChecksumSHA256")
        return kept


def _checksum(content: bytes) -> str:
    return base64.b64encode(hashlib.sha256(content).digest()).decode()


def _trouble(attempt: str, error: ClientError) -> Trouble:
    code, said = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
    if code in AWAY:
        return Unreachable(attempt, f"S3 says {code}: {said}", "It is tried again.")
    return Refused(attempt, f"S3 says {code}: {said}", "Look at the bucket, and at what the controller's role may do.")
