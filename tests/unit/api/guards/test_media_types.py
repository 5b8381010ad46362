"""What counts as JSON."""

import pytest

from api.guards.media_types import is_json


@pytest.mark.parametrize("media_type", ["application/json", "application/merge-patch+json"])
def test_json_and_its_kin_are_json(media_type: str) -> None:
    assert is_json(media_type)


@pytest.mark.parametrize(
    "media_type",
    ["text/plain", "text/json", "application/x-www-form-urlencoded", "application/octet-stream"],
)
def test_what_a_form_can_send_is_none(media_type: str) -> None:
    assert not is_json(media_type)
