"""Pages of the documentation that are written from the code at build time: the command line and the recipe keys."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterator
from enum import Enum
from typing import Any, Literal, get_args, get_origin, get_type_hints

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from typer.main import get_command

from stf_mamba.cli.app import VERBS, app
from stf_mamba.core.recipe import Recipe


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the generated pages to those in ``docs/``."""
    for path, lines in (
        ("reference/command-line.md", command_line_page()),
        ("reference/recipes.md", recipes_page()),
    ):
        files.append(File.generated(config, path, content="\n".join(lines) + "\n"))
    return files


def command_line_page() -> Iterator[str]:
    """Every verb with its arguments and options, as ``--help`` has them."""
    yield "# The command line\n"
    yield "Written from the code: what `stf VERB --help` says, on one page.\n"
    yield "Exit codes: 0 done, 1 failure, 2 wrong usage, 3 some input could not be analysed (the rest was), 10 a video"
    yield "has the outcome of `--fail-on`, 130 stopped.\n"
    root: Any = get_command(app)
    verbs = {verb.name or verb.callback.__name__: verb.callback for verb in app.registered_commands if verb.callback}
    for name, command in root.commands.items():
        types = get_type_hints(inspect.unwrap(verbs[name]))
        arguments = [param for param in command.params if param.param_type_name == "argument"]
        words = [param.metavar or param.name.upper() for param in arguments]
        yield f"## stf {name}\n"
        yield f"    stf {name} {' '.join([*words, '[OPTIONS]'])}\n"
        yield f"{command.help}\n"
        yield "For example:\n"
        yield f"    {VERBS[verbs[name]]}\n"
        yield "| option | what it does | default |"
        yield "|---|---|---|"
        for param in command.params:
            yield f"| {_names(param)} | {_cell(param.help or '')} | {_default(param, types.get(param.name))} |"
        yield ""


def recipes_page() -> Iterator[str]:
    """Every key of a recipe with its default and meaning, table by table."""
    yield "# Recipes\n"
    yield "A recipe is a TOML file that lists what differs from the defaults below, which are V8.0 as the ablation"
    yield "report describes it. An unknown key is an error. The files in `recipes/` begin with the question that they"
    yield "answer, the command, the hardware and what to expect.\n"
    yield "    Recipe.load(PATH)       # in Python; see Recipe in the Python interface\n"
    yield from _table("At the top", Recipe, skip=_parts())
    for key, part in _parts().items():
        heading = f"[[{key}]]" if key == "phases" else f"[{key}]"
        yield from _table(f"`{heading}`", part)


def _parts() -> dict[str, type]:
    default = Recipe()
    parts = {field.name: getattr(default, field.name) for field in dataclasses.fields(Recipe)}
    parts["phases"] = parts["phases"][0]
    return {key: type(value) for key, value in parts.items() if dataclasses.is_dataclass(value)}


def _table(title: str, record: type, skip: dict[str, type] | None = None) -> Iterator[str]:
    default = record()
    meanings = _attributes(record)
    yield f"## {title}\n"
    yield f"{(inspect.getdoc(record) or '').split(chr(10))[0]}\n"
    yield "| key | default | meaning |"
    yield "|---|---|---|"
    for field in dataclasses.fields(record):
        if field.name not in (skip or {}):
            yield f"| `{field.name}` | {_value(getattr(default, field.name))} | {_cell(meanings.get(field.name, ''))} |"
    yield ""


def _attributes(record: type) -> dict[str, str]:
    """What a docstring's ``Attributes`` say, by name; continued lines joined."""
    found: dict[str, str] = {}
    name = ""
    for line in (inspect.getdoc(record) or "").partition("Attributes:")[2].splitlines():
        if line.startswith("    ") and not line.startswith("     "):
            name, _, text = line.strip().partition(":")
            found[name] = text.strip()
        elif line.strip() and name:
            found[name] += " " + line.strip()
    return found


def _names(param: Any) -> str:
    if param.param_type_name == "argument":
        return f"`{param.metavar or param.name.upper()}`"
    return ", ".join(f"`{name}`" for name in (*param.opts, *param.secondary_opts))


def _default(param: Any, annotation: Any) -> str:
    choices = ", ".join(f"`{choice}`" for choice in _choices(annotation))
    default = "required" if param.required else _value(param.default)
    return f"{default}; one of {choices}" if choices else default


def _choices(annotation: Any) -> list[Any]:
    """The values that an option takes, where they are named; of a list or an optional, those of what is in it."""
    if get_origin(annotation) is Literal:
        return list(get_args(annotation))
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return [choice.value for choice in annotation]
    return [choice for part in get_args(annotation) for choice in _choices(part)]


def _value(value: Any) -> str:
    value = getattr(value, "value", value)
    if value is None or value is False or value == "":
        return "none" if value is None else ("off" if value is False else "empty")
    return "on" if value is True else f"`{value}`"


def _cell(text: str) -> str:
    return " ".join(text.replace("``", "`").replace("|", r"\|").split())
