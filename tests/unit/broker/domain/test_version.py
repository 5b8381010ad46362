"""Versions of what the operator wrote, and what differs between them."""

from broker.domain.version import Change, VersionKind, Written, change


def policies(text: str, *environment: str) -> Written:
    return Written(VersionKind.POLICIES, text, environment)


def test_a_digest_is_that_of_the_file() -> None:
    """The same that sha256sum prints, so that people can compare."""
    digest = "37b128c59f1f5097f73f82691cb519f1f568667faab5ced1b4ab979d36837eae"
    assert policies("a: 1\n").digest.hex() == digest


def test_a_change_is_a_unified_diff() -> None:
    before, after = policies("a: 1\nb: 2\nc: 3\n"), policies("a: 1\nb: 5\nc: 3\n")
    assert change(before, after) == Change("@@ -1,3 +1,3 @@\n a: 1\n-b: 2\n+b: 5\n c: 3")


def test_the_first_version_is_all_new() -> None:
    assert change(None, policies("a: 1\nb: 2")).diff == "@@ -0,0 +1,2 @@\n+a: 1\n+b: 2"


def test_nothing_changed_is_an_empty_diff() -> None:
    assert change(policies("a: 1\n"), policies("a: 1\n")) == Change("")


def test_a_long_diff_is_cut_and_says_by_how_much() -> None:
    cut = change(None, policies("\n".join(f"a{n}: {n}" for n in range(10))), most_lines=3)
    assert cut == Change("@@ -0,0 +1,10 @@\n+a0: 0\n+a1: 1", left_out=8)


def test_a_long_line_is_cut_and_says_by_how_much() -> None:
    (_, line) = change(None, policies("x" * 1000)).diff.split("\n")
    assert line == "+" + "x" * 499 + "… (501 more characters)"


def test_a_setting_that_the_environment_takes_over_shows_by_its_name() -> None:
    after = policies("a: 1\n", "PGCURFEW_PROXY__LISTEN")
    assert change(policies("a: 1\n"), after).diff.split("\n")[-1] == (
        "+# PGCURFEW_PROXY__LISTEN is set in the environment"
    )


def test_a_line_ends_where_an_editor_shows_its_end() -> None:
    """A form feed in a comment would otherwise make two lines of one, and shift all numbers."""
    assert policies("# a\x0cb\nc: 1\n").lines() == ["# a\x0cb", "c: 1"]
