"""A script that checks an export of the record with Python alone, for who has nothing of ours.

It is made of the very code that we check with: of each module, what the script needs, in the order
in which they build on each other. So there is no second opinion that could differ.
"""

import ast
import inspect
from collections.abc import Iterator
from types import ModuleType

from broker.domain import receipt
from broker.domain.statement import (
    chain,
    checking,
    checkpoint,
    dropped_days,
    ed25519,
    export,
    flaw,
)
from broker.service import offline

_MODULES = (receipt, chain, checkpoint, ed25519, flaw, dropped_days, checking, export, offline)
_HEAD = """\
#!/usr/bin/env python3
# Checks an export of the record of pgcurfew: python3 -I verify.py [FILE] [--public-key PEM]
#
# Made from the source of pgcurfew; needs nothing but Python 3.11. Says what is wrong, and ends with
# 0 if nothing is, 1 if something is, 2 if it cannot tell.
"""
_TAIL = """


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
"""


def verifier() -> str:
    """Return the text of the script."""
    parts = [_Source(module) for module in _MODULES]
    needed = _reached(parts, {"main", "sys"})
    imports = sorted({line for part in parts for line in part.imports(needed)})
    bodies = [body for part in parts if (body := part.body(needed))]
    return "\n".join([_HEAD, *imports]) + "\n\n\n" + "\n\n\n".join(bodies) + _TAIL


class _Source:
    """One module, taken apart."""

    def __init__(self, module: ModuleType) -> None:
        text = inspect.getsource(module)
        self._name = module.__name__
        self._lines = text.splitlines()
        self._nodes = ast.parse(text).body
        self.definitions = {
            name: node for node in self._nodes for name in _defined(node) if not _is_import(node)
        }

    def forget(self, node: ast.stmt) -> None:
        self._nodes.remove(node)

    def imports(self, needed: set[str]) -> Iterator[str]:
        """Yield what is imported from elsewhere and needed, one name to a line."""
        for node in self._nodes:
            match node:
                case ast.ImportFrom(module=str(origin), names=names) if not _is_ours(origin):
                    yield from (
                        f"from {origin} import {each.name}" for each in names if each.name in needed
                    )
                case ast.Import(names=names):
                    yield from (f"import {each.name}" for each in names if each.name in needed)

    def body(self, needed: set[str]) -> str:
        """Return the definitions that are needed, under the module's name."""
        wanted = [
            node for node in self._nodes if not _is_import(node) and needed & set(_defined(node))
        ]
        if not wanted:
            return ""
        return f"# {self._name}\n\n" + "\n\n\n".join(self._text(node) for node in wanted)

    def _text(self, node: ast.stmt) -> str:
        decorators = node.decorator_list if isinstance(node, ast.ClassDef | ast.FunctionDef) else []
        start = min([node.lineno, *(each.lineno for each in decorators)]) - 1
        while start and self._lines[start - 1].startswith("#"):
            start -= 1  # what is said about it
        return "\n".join(self._lines[start : node.end_lineno])


def _reached(parts: list[_Source], roots: set[str]) -> set[str]:
    """Return every name that these lead to. What two modules define alike is one thing; otherwise
    it would be a mistake."""
    definitions: dict[str, ast.stmt] = {}
    reached: set[str] = set()
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        if name in reached:
            continue
        reached.add(name)
        for part in parts:
            node = part.definitions.get(name)
            if node is None:
                continue
            waiting += _names_in(node)
            known = definitions.setdefault(name, node)
            if known is not node:
                assert ast.dump(known) == ast.dump(node), f"two modules define {name}"
                part.forget(node)
    return reached


def _names_in(node: ast.stmt) -> Iterator[str]:
    for each in ast.walk(node):
        if isinstance(each, ast.Name):
            yield each.id
        elif isinstance(each, ast.Constant) and isinstance(each.value, str):
            yield each.value  # an annotation of what is defined further down


def _defined(node: ast.stmt) -> Iterator[str]:
    match node:
        case ast.ClassDef(name=name) | ast.FunctionDef(name=name):
            yield name
        case ast.Assign(targets=targets):
            yield from (each.id for each in targets if isinstance(each, ast.Name))
        case ast.AnnAssign(target=ast.Name(id=name)):
            yield name


def _is_import(node: ast.stmt) -> bool:
    return isinstance(node, ast.Import | ast.ImportFrom)


def _is_ours(module: str) -> bool:
    return module.split(".", maxsplit=1)[0] == "broker"
