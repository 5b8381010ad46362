"""A grant to look around with: asked for and approved, so that the first psql line just works."""

from api.client import open_client
from api.demo.site import Site
from broker.domain.duration import parse_duration


async def get_first_access(site: Site) -> str:
    """Return a psql line that lets in as a reader for an hour."""
    async with (
        open_client(site.api_url, site.requester_token) as requester,
        open_client(site.api_url, site.reviewer_token) as reviewer,
    ):
        asked = await requester.request(
            "orders", "orders_reader", duration=parse_duration("1h"), reason="look around"
        )
        grant = (await reviewer.approve(asked.id, comment="welcome")).given
        credential = await requester.hand_out(grant.id)
    root = site.home / "proxy-root.pem"
    root.write_text(credential.root_certificate)
    return credential.psql_trusting(str(root))
