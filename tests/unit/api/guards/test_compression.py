"""What is compressed, and for whom."""

import pytest
from multidict import CIMultiDict

from api.guards.compression import may_be_compressed, takes_gzip


@pytest.mark.parametrize(
    ("path", "size", "headers", "may"),
    [
        ("/v1/requests", 1024, {}, True),
        ("/v1/requests", 1023, {}, False),
        ("/v1/requests", 9999, {"Cache-Control": "private, no-cache"}, True),
        ("/v1/credentials", 9999, {"cache-control": "no-store"}, False),
        ("/requests", 9999, {"Cache-Control": "no-store"}, True),
        ("/requests", 9999, {"Cache-Control": "no-store, no-transform"}, False),
        ("/static/x.css", 9999, {"Content-Encoding": "gzip"}, False),
    ],
)
def test_secrets_and_small_things_are_sent_as_they_are(
    path: str, size: int, headers: dict[str, str], *, may: bool
) -> None:
    assert may_be_compressed(path, size, CIMultiDict(headers)) == may


@pytest.mark.parametrize(
    ("header", "takes"),
    [
        ("gzip, deflate, br", True),
        ("GZIP", True),
        ("*", True),
        ("deflate;q=0.5, gzip ; q=0.1", True),
        ("", False),
        ("br", False),
        ("gzip;q=0", False),
        ("gzip;q=0.000, *", False),
        ("*;q=0", False),
        ("xgzip", False),
    ],
)
def test_who_takes_gzip_says_so(header: str, *, takes: bool) -> None:
    assert takes_gzip(header) == takes
