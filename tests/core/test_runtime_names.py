"""What a module imports for annotations alone is used in annotations alone."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import stf_mamba

ROOT = Path(stf_mamba.__file__).parent
MODULES = sorted(ROOT.rglob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_name_that_only_type_checkers_see_is_used_at_run_time(path):
    assert names_of_type_checkers_used(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("def f(x: av.Frame) -> av.Frame:\n    y: av.Frame = x\n    return y", []),
        ("def f():\n    import av\n    return av.open", []),
        ("def f():\n    import av\n    return [lambda: av.open for _ in av.x]", []),
        ("def f():\n    import av\ndef g():\n    return av.open", [(8, "av")]),
        ("try:\n    pass\nexcept av.FFmpegError:\n    pass", [(7, "av")]),
        ("class C(av.Frame):\n    x: av.Frame", [(5, "av")]),
        ("else:\n    av = None\nprint(av)", []),
    ],
)
def test_the_rule_finds_what_it_is_for(source, found):
    unseen = "from __future__ import annotations\nfrom typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import av\n"
    assert names_of_type_checkers_used(unseen + source) == found


def test_annotations_that_are_evaluated_are_uses():
    source = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import av\ndef f(x: av.Frame):\n    pass"
    assert names_of_type_checkers_used(source) == [(4, "av")]


def names_of_type_checkers_used(source: str) -> list[tuple[int, str]]:
    """(line, name) of every use at run time of a name that is bound only where ``TYPE_CHECKING`` holds."""
    module = ast.parse(source)
    unseen = {
        name for node in ast.walk(module) if _is_type_checking(node) for part in node.body for name in _bound_in(part)
    }
    return sorted(_uses(module, unseen, _has_lazy_annotations(module)))


def _uses(scope: ast.AST, unseen: set[str], lazy: bool) -> Iterator[tuple[int, str]]:
    """The uses within a scope and the scopes inside it, whose own bindings hide the module's."""
    unseen = unseen - _bound_at_run_time(scope)
    pending = list(ast.iter_child_nodes(scope))
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in unseen:
            yield node.lineno, node.id
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            yield from _uses(_without_annotations(node, lazy), unseen, lazy)
        elif not _is_type_checking(node):
            pending += ast.iter_child_nodes(_without_annotations(node, lazy))
        else:
            pending += node.orelse


def _bound_at_run_time(scope: ast.AST) -> set[str]:
    """The names that a scope binds itself, arguments included, but for what it binds for type checkers."""
    found: set[str] = set()
    pending = list(ast.iter_child_nodes(scope))
    while pending:
        node = pending.pop()
        found |= _bound_by(node)
        if _is_type_checking(node):
            pending += node.orelse
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            pending += ast.iter_child_nodes(node)
    return found


def _bound_in(statement: ast.AST) -> set[str]:
    return {name for node in ast.walk(statement) for name in _bound_by(node)}


def _bound_by(node: ast.AST) -> set[str]:
    match node:
        case ast.Import() | ast.ImportFrom():
            return {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return {node.name}
        case ast.Name(ctx=ast.Store()):
            return {node.id}
        case ast.arg():
            return {node.arg}
        case ast.ExceptHandler(name=str()):
            return {node.name}
    return set()


def _without_annotations(node: ast.AST, lazy: bool) -> ast.AST:
    """The node as it is run: where annotations are kept as text, without them."""
    if not lazy:
        return node
    kept = {field: value for field, value in ast.iter_fields(node) if field not in ("annotation", "returns")}
    return type(node)(**kept, lineno=getattr(node, "lineno", 0), col_offset=getattr(node, "col_offset", 0))


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def _has_lazy_annotations(module: ast.Module) -> bool:
    return any(
        isinstance(node, ast.ImportFrom) and node.module == "__future__" and node.names[0].name == "annotations"
        for node in module.body
    )
