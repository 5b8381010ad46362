"""Which columns are sensitive: the operator's tags, and words in comments.

A tag is `schema.table.column`, each part with `*` for anything and `?` for one character, whatever
its case. A comment on a column or a table is about sensitive data if one of WORDS is a word of it.
"""

import re
from collections.abc import Iterable

WORDS = (
    *("pii", "personal", "sensitive", "confidential", "secret", "private"),
    *("gdpr", "phi", "hipaa", "pci", "cardholder"),
)
# Between the parts of what is matched: in no name, and so not to be spanned by a star.
SEPARATOR = "\n"
_PARTS = 3
_LONGEST = 200
_EXAMPLE = "shop.customers.email or *.*.password*"


def tag_fault(tag: str) -> str | None:
    """Return what is wrong with a tag, or None."""
    parts = tag.split(".")
    if len(parts) != _PARTS or not all(parts) or not tag.isprintable():
        return f"a tag is schema.table.column, such as {_EXAMPLE}"
    if len(tag) > _LONGEST:
        return f"a tag has at most {_LONGEST} characters"
    return None


def tags_pattern(tags: Iterable[str]) -> str | None:
    """Return a regular expression for `schema SEPARATOR table SEPARATOR column`, as PostgreSQL and
    Python read it, or None for no tags."""
    patterns = [_pattern(tag) for tag in tags]
    return f"^({'|'.join(patterns)})$" if patterns else None


def words_pattern() -> str:
    r"""Return PostgreSQL's regular expression for a comment with one of the words. `\m` and `\M`
    are its word boundaries."""
    return rf"\m({'|'.join(WORDS)})\M"


def _pattern(tag: str) -> str:
    return SEPARATOR.join(
        "".join(_WILD.get(each) or _literally(each) for each in part) for part in tag.split(".")
    )


_WILD = {"*": "[^\n]*", "?": "[^\n]"}


def _literally(character: str) -> str:
    return re.escape(character) if character.isascii() else character
