"""Who is it? SCRAM with the client, and what follows from it: the keys that open the target."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from broker.domain.credential import ClientKeys, ProxyKey, mock_verifier, target_keys
from broker.ledger.logins import ProxyLogin
from proxy.gate import Gate
from proxy.refusals import wrong_secret
from proxy.scram import NONCE_BYTES, ScramError, ServerExchange
from proxy.stream import MessageStream
from proxy.wire.errors import UnexpectedMessage, WireError
from proxy.wire.messages import (
    SCRAM_SHA_256,
    decode_sasl_initial,
    encode_authentication_sasl,
    encode_sasl_continue,
    encode_sasl_final,
)


@dataclass(frozen=True, slots=True)
class Authenticator:
    """Verifies secrets. `proxy_keys` holds older keys too, for the grants made under them."""

    gate: Gate
    proxy_keys: Mapping[str, ProxyKey]
    current_key: ProxyKey

    async def authenticate(self, stream: MessageStream, user: str) -> tuple[ProxyLogin, ClientKeys]:
        """Return the login that the client has proved to hold, and the keys for its target.

        An unknown user goes through the same exchange, with a verifier that nothing matches.
        Raises Refusal, WireError, LedgerUnavailable or Disconnected.
        """
        login = await self.gate.find(user)
        mock = mock_verifier(self.current_key, user)
        exchange = ServerExchange(login.verifier if login else mock, os.urandom(NONCE_BYTES))
        stream.write(encode_authentication_sasl([SCRAM_SHA_256]))
        initial = decode_sasl_initial(await _password_message(stream))
        if initial.mechanism != SCRAM_SHA_256:
            raise WireError("client selected an invalid SASL authentication mechanism")
        try:
            stream.write(encode_sasl_continue(exchange.first(initial.data)))
            proved = exchange.final(await _password_message(stream))
        except ScramError:
            raise wrong_secret(user) from None
        proxy_key = self.proxy_keys.get(login.key_id) if login else None
        if login is None or proxy_key is None:
            raise wrong_secret(user)
        stream.write(encode_sasl_final(proved.server_final))
        return login, target_keys(proxy_key, login.grant.id, proved.client_key)


async def _password_message(stream: MessageStream) -> bytes:
    frame = await stream.next_frame()
    if frame.kind != b"p":
        raise UnexpectedMessage(frame.kind, "a SASL response")
    return frame.body
