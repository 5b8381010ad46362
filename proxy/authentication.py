"""Who is it? SCRAM with the client, and what follows from it: the keys that open the target."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from broker.domain.credential import ClientKeys, Verifier, mock_verifier, target_keys
from broker.domain.network import Address
from broker.ledger.logins import ProxyLogin
from proxy.door import Door
from proxy.refusals import wrong_secret
from proxy.rules import Rules
from proxy.scram import NONCE_BYTES, Proved, ScramError, ServerExchange
from proxy.stream import MessageStream
from proxy.wire.errors import UnexpectedMessage, WireError
from proxy.wire.messages import (
    AUTHENTICATION_OK,
    decode_sasl_initial,
    encode_authentication_sasl,
    encode_sasl_continue,
    encode_sasl_final,
)


@dataclass(frozen=True, slots=True)
class Claim:
    """Who somebody says they are, and from where they say it. `channel_binding` is that of the
    certificate they were shown, if it has one."""

    user: str
    database: str
    address: Address
    channel_binding: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Authenticated:
    """The login whose secret was proved, and the keys for its target.

    `likeliest` is what the user name stands for now: another login, if the secret is an old one.
    """

    login: ProxyLogin
    keys: ClientKeys
    likeliest: ProxyLogin


async def authenticate(
    stream: MessageStream, claim: Claim, door: Door, rules: Rules
) -> Authenticated:
    """Let the client prove that it knows the secret of a login.

    Once it has, it is told that it is welcome, and shows what else is said. An unknown user goes
    through the same exchange, with a verifier that nothing matches. Raises Refusal, WireError,
    LedgerUnavailable or Disconnected.
    """
    candidates = _comparable(await door.find(claim.user, claim.database))
    # Known before, and told after: if it changed the challenge, a ban would show who exists.
    banned = await door.is_banned(claim.user, candidates, claim.address)
    try:
        verifiers = [each.verifier for each in candidates]
        mock = mock_verifier(rules.current_key, claim.user)
        proved = await _exchange(stream, verifiers or [mock], claim.channel_binding)
        login = candidates[proved.verifier_index] if candidates and not banned else None
        key = rules.proxy_keys.get(login.key_id) if login is not None else None
        if login is None or key is None:
            raise ScramError("no such login, no key for it, or a ban")
    except ScramError:
        await door.count_failure(claim.user, claim.address, rules.throttle)
        raise wrong_secret(claim.user) from None
    stream.write(encode_sasl_final(proved.server_final) + AUTHENTICATION_OK)
    keys = target_keys(key, login.grant.id, proved.client_key)
    return Authenticated(login, keys, candidates[0])


def _comparable(found: Sequence[ProxyLogin]) -> list[ProxyLogin]:
    """Return those that one challenge serves: the likeliest, and older ones with its salt."""
    return [
        each
        for each in found
        if (each.verifier.salt, each.verifier.iterations)
        == (found[0].verifier.salt, found[0].verifier.iterations)
    ]


async def _exchange(
    stream: MessageStream, verifiers: Sequence[Verifier], channel_binding: bytes | None
) -> Proved:
    """Raises ScramError, WireError or Disconnected."""
    exchange = ServerExchange(verifiers, os.urandom(NONCE_BYTES), channel_binding)
    stream.write(encode_authentication_sasl(exchange.mechanisms))
    initial = decode_sasl_initial(await _password_message(stream))
    if initial.mechanism not in exchange.mechanisms:
        raise WireError("client selected an invalid SASL authentication mechanism")
    stream.write(encode_sasl_continue(exchange.first(initial.mechanism, initial.data)))
    return exchange.final(await _password_message(stream))


async def _password_message(stream: MessageStream) -> bytes:
    frame = await stream.next_frame()
    if frame.kind != b"p":
        raise UnexpectedMessage(frame.kind, "a SASL response")
    return frame.body
