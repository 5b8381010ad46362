"""Crockford's base32: no I, L, O or U, so that people read it aloud without mistakes."""

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def encode(value: int, length: int) -> str:
    """Return the low `5 * length` bits of `value`, most significant first."""
    return "".join(ALPHABET[(value >> (5 * place)) & 31] for place in reversed(range(length)))
