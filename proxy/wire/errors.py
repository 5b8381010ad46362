"""What a peer can do wrong on the wire, each with its SQLSTATE."""


class WireError(Exception):
    """The peer broke the protocol. `sqlstate` is what it is told, if it can be told anything."""

    sqlstate = "08P01"


class MalformedFrame(WireError):
    def __init__(self, length: int, longest: int) -> None:
        super().__init__(f"invalid message length {length} (at most {longest} here)")


class MalformedMessage(WireError):
    def __init__(self, what: str) -> None:
        super().__init__(f"malformed {what}")


class UnexpectedMessage(WireError):
    def __init__(self, kind: bytes, wanted: str) -> None:
        super().__init__(f"unexpected message type {kind!r}: {wanted} was expected")


class UnsupportedProtocol(WireError):
    sqlstate = "0A000"

    def __init__(self, major: int, minor: int) -> None:
        super().__init__(
            f"unsupported frontend protocol {major}.{minor}: this server supports protocol 3"
        )
