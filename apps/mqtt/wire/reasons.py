"""Why something is refused or ended: MQTT 5 reason codes, and what MQTT 3.1.1 has in their place.

3.1.1 can say no to a CONNECT and to a subscription, and to nothing else: there a connection is closed.
"""

from __future__ import annotations

SUCCESS = 0x00
DISCONNECT_WITH_WILL = 0x04
NO_SUBSCRIPTION_EXISTED = 0x11
UNSPECIFIED = 0x80  # also 3.1.1's only answer to a SUBSCRIBE that is refused
MALFORMED = 0x81
PROTOCOL_ERROR = 0x82
UNSUPPORTED_VERSION = 0x84
IDENTIFIER_NOT_VALID = 0x85
NOT_AUTHORIZED = 0x87
UNAVAILABLE = 0x88
BANNED = 0x8A
SHUTTING_DOWN = 0x8B
BAD_AUTHENTICATION_METHOD = 0x8C
KEEP_ALIVE_TIMEOUT = 0x8D
TAKEN_OVER = 0x8E
FILTER_INVALID = 0x8F
TOPIC_ALIAS_INVALID = 0x94
TOO_LARGE = 0x95
QUOTA_EXCEEDED = 0x97
PAYLOAD_INVALID = 0x99
QOS_NOT_SUPPORTED = 0x9B
SHARED_NOT_SUPPORTED = 0x9E
IDENTIFIERS_NOT_SUPPORTED = 0xA1

CONNACK_OF_3_1_1 = {
    SUCCESS: 0,
    UNSUPPORTED_VERSION: 1,
    IDENTIFIER_NOT_VALID: 2,
    UNAVAILABLE: 3,
    QUOTA_EXCEEDED: 3,
    NOT_AUTHORIZED: 5,
    BANNED: 5,
}
"""Return codes of a 3.1.1 CONNACK; a reason that is not here never answers a 3.1.1 CONNECT."""
