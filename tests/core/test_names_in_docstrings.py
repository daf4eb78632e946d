"""What docstrings and comments name in double backticks, as ``room.module.name``, is there."""

import ast
import dataclasses
import re
from pathlib import Path

import stf_mamba
from stf_mamba.core.recipe import Recipe

PACKAGE = Path(stf_mamba.__file__).parent
REFERENCE = re.compile(r"``([a-z_]+(?:\.[a-z_]+)*\.[A-Za-z_]+)``")
FILE_SUFFIXES = {"csv", "json", "toml", "tex", "log", "py", "png", "pt", "safetensors", "html", "md", "jsonl", "npz"}


def module_paths() -> dict[str, Path]:
    return {
        ".".join(file.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): file
        for file in PACKAGE.rglob("*.py")
    }


def names_of(file: Path) -> set[str]:
    """What a module defines or imports, attributes of its classes with their class."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.alias):
            names.add(node.asname or node.name)
    return names


def test_modules_that_are_named_are_there():
    modules = module_paths()
    last_names = {module.rpartition(".")[2] for module in modules} | {module.partition(".")[0] for module in modules}
    sections = {field.name for field in dataclasses.fields(Recipe)}
    names = {module: names_of(file) for module, file in modules.items()}

    def is_there(reference: str) -> bool:
        prefix, _, name = reference.rpartition(".")
        homes = [module for module in modules if f".{module}".endswith(f".{prefix}")]
        return any(name in names[home] for home in homes) or any(
            f".{module}".endswith(f".{reference}") for module in modules
        )

    missing, found = [], 0
    for file in modules.values():
        text = file.read_text(encoding="utf-8")
        variables = {node.id for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)}
        for reference in REFERENCE.findall(text):
            first, last = reference.split(".")[0], reference.split(".")[-1]
            is_attribute = reference.count(".") == 1 and first in sections | variables
            if first in last_names and last not in FILE_SUFFIXES and not is_attribute:
                found += 1
                if not is_there(reference):
                    missing.append(f"{file.relative_to(PACKAGE)}: {reference}")
    assert found >= 20  # the pattern sees references
    assert not missing
