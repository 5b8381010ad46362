"""Where people come from and go back to: a page of ours, or nowhere."""

import re

_LONGEST = 1024  # characters; a cookie has room for it
# One slash and no second one, also not by what browsers drop or turn around: control characters,
# spaces and backslashes. https://url.spec.whatwg.org/#relative-slash-state
_LOCAL = re.compile(r"/(?![/\\])[!-\[\]-~]*", re.ASCII)


def local_path(text: str | None, otherwise: str) -> str:
    """Return `text` if it names a page of this site, else `otherwise`."""
    fits = text is not None and len(text) <= _LONGEST and _LOCAL.fullmatch(text)
    return text if text is not None and fits else otherwise
