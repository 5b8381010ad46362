"""Ed25519, for who has nothing but Python: only the half that tells whether a signature is genuine.

Straight from RFC 8032: https://www.rfc-editor.org/rfc/rfc8032#section-5.1. It handles no secret, so
how long it takes tells nobody anything. Whoever has a library uses that, which is much faster.
"""

from hashlib import sha512

KEY_BYTES = 32
SIGNATURE_BYTES = 64

_FIELD = 2**255 - 19
_GROUP_ORDER = 2**252 + 27742317777372353535851937790883648493
_CURVE = -121665 * pow(121666, _FIELD - 2, _FIELD) % _FIELD
_ROOT_OF_MINUS_ONE = pow(2, (_FIELD - 1) // 4, _FIELD)

# Extended homogeneous coordinates (X, Y, Z, T): x = X/Z, y = Y/Z, xy = T/Z.
_Point = tuple[int, int, int, int]

_NEUTRAL_POINT: _Point = (0, 1, 1, 0)


def is_signature(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Say whether the key signed the message. False, too, for what is no key or no signature."""
    if len(public_key) != KEY_BYTES or len(signature) != SIGNATURE_BYTES:
        return False
    key, commitment = _point_of(public_key), _point_of(signature[:32])
    scalar = int.from_bytes(signature[32:], "little")
    if key is None or commitment is None or scalar >= _GROUP_ORDER:
        return False
    digest = sha512(signature[:32] + public_key + message).digest()
    challenge = int.from_bytes(digest, "little") % _GROUP_ORDER
    return _is_same_point(
        _point_times(scalar, _BASE_POINT), _point_sum(commitment, _point_times(challenge, key))
    )


def _point_sum(one: _Point, other: _Point) -> _Point:
    a = (one[1] - one[0]) * (other[1] - other[0]) % _FIELD
    b = (one[1] + one[0]) * (other[1] + other[0]) % _FIELD
    c = 2 * one[3] * other[3] * _CURVE % _FIELD
    d = 2 * one[2] * other[2] % _FIELD
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % _FIELD, g * h % _FIELD, f * g % _FIELD, e * h % _FIELD)


def _point_times(scalar: int, point: _Point) -> _Point:
    result = _NEUTRAL_POINT
    while scalar:
        if scalar & 1:
            result = _point_sum(result, point)
        point = _point_sum(point, point)
        scalar >>= 1
    return result


def _is_same_point(one: _Point, other: _Point) -> bool:
    return (one[0] * other[2] - other[0] * one[2]) % _FIELD == 0 and (
        one[1] * other[2] - other[1] * one[2]
    ) % _FIELD == 0


def _point_of(text: bytes) -> _Point | None:
    y = int.from_bytes(text, "little")
    sign, y = y >> 255, y & (1 << 255) - 1
    x = _x_of(y, sign) if y < _FIELD else None
    return None if x is None else (x, y, 1, x * y % _FIELD)


def _x_of(y: int, sign: int) -> int | None:
    square = (y * y - 1) * pow(_CURVE * y * y + 1, _FIELD - 2, _FIELD) % _FIELD
    if square == 0:
        return None if sign else 0
    x = pow(square, (_FIELD + 3) // 8, _FIELD)
    if (x * x - square) % _FIELD != 0:
        x = x * _ROOT_OF_MINUS_ONE % _FIELD
    if (x * x - square) % _FIELD != 0:
        return None
    return _FIELD - x if x & 1 != sign else x


_BASE_POINT_Y = 4 * pow(5, _FIELD - 2, _FIELD) % _FIELD
_BASE_POINT_X = 15112221349535400772501151409588531511454012693041857206046113283949847762202
_BASE_POINT: _Point = (_BASE_POINT_X, _BASE_POINT_Y, 1, _BASE_POINT_X * _BASE_POINT_Y % _FIELD)
