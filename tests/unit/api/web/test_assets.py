import gzip

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from api.web.assets import asset_url, serve


async def _get(path: str, **headers: str) -> web.Response:
    request = make_mocked_request("GET", path, headers=headers)
    _, _, digest, name = path.split("/", 3)
    request.match_info.update(digest=digest, name=name)
    response = await serve(request)
    assert isinstance(response, web.Response)
    return response


async def test_an_address_has_its_content_for_ever_packed_for_who_takes_that() -> None:
    plain = await _get(asset_url("style.css"))
    packed = await _get(asset_url("style.css"), **{"Accept-Encoding": "gzip, br"})
    assert plain.content_type == packed.content_type == "text/css"
    assert "immutable" in plain.headers["Cache-Control"]
    assert packed.headers["Content-Encoding"] == "gzip"
    assert isinstance(packed.body, bytes)
    assert gzip.decompress(packed.body) == plain.body


@pytest.mark.parametrize(
    "path", ["/static/0000000000000000/style.css", "/static/0000000000000000/../assets.py"]
)
async def test_what_is_not_there_or_no_more_is_not_found(path: str) -> None:
    with pytest.raises(web.HTTPNotFound):
        await _get(path)


def test_everything_that_pages_load_comes_from_here() -> None:
    with pytest.raises(KeyError):
        asset_url("nothing.js")
