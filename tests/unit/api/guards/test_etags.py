"""Which answers somebody has already."""

import pytest

from api.guards.etags import etag_of, is_known

ETAG = etag_of(b"{}")
OTHER = etag_of(b"[]")


@pytest.mark.parametrize(
    "header", [ETAG, ETAG.removeprefix("W/"), "*", " * ", f'"x", {ETAG}', f"{OTHER},{ETAG}"]
)
def test_what_is_named_is_known(header: str) -> None:
    assert is_known(header, ETAG)


@pytest.mark.parametrize("header", ["", OTHER, ETAG.strip('W/"'), ETAG[:-1], f"{OTHER}, *", "é"])
def test_what_is_not_named_is_not(header: str) -> None:
    assert not is_known(header, ETAG)
