"""What the documents name exists: linked files, headings, verbs, options, paths, targets of make, Python names."""

import ast
import re
import subprocess
from pathlib import Path

import pytest
from typer.main import get_command

import stf_mamba as stf
from stf_mamba.cli.app import app

ROOT = Path(__file__).parents[1]
MARKDOWN = sorted({*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")})
TEXTS = {path: path.read_text(encoding="utf-8") for path in [*MARKDOWN, *sorted(ROOT.glob("recipes/*.toml"))]}
PAGES = {path: text for path, text in TEXTS.items() if path.suffix == ".md"}
# Written from the code when the site is built.
GENERATED = {ROOT / "docs/reference/command-line.md", ROOT / "docs/reference/recipes.md"}

LINK = re.compile(r"""(?:\]\(|<img src=")([^)"\s]+)[)"]""")
COMMAND = re.compile(r"(?:^[ #]*|`|-m )(?:stf|stf_mamba) ([a-z]+)\b([^`\n]*)", re.MULTILINE)
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
# A path within the repository; one with a word in capitals stands for many.
NAMED = re.compile(r"(?<![\w/.-])(?:src|tests|docs|recipes|examples|benchmarks|notebooks|scripts)/[\w./-]*[\w/]")


def each(texts):
    return pytest.mark.parametrize("path", texts, ids=lambda path: str(path.relative_to(ROOT)))


def slug(heading):
    """A heading's anchor, as both the site and code hosts make it."""
    words = re.sub(r"[^\w\s-]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower())
    return re.sub(r"\s", "-", words.strip())


def unbroken(path):
    """The text with commands on one line each: continued by a backslash, or in the header of a recipe."""
    text = re.sub(r"\\\n\s*", " ", TEXTS[path])
    return re.sub(r"\n#\s{4,}", " ", text) if path.suffix == ".toml" else text


@each(PAGES)
def test_linked_files_and_headings_exist(path):
    for target in LINK.findall(PAGES[path]):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = (path.parent / name).resolve() if name else path
        if file in GENERATED:
            continue
        assert file.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", PAGES[file], re.MULTILINE)
            slugs = {made for heading in headings for made in (slug(heading), re.sub("-+", "-", slug(heading)))}
            assert anchor in slugs, target


@each(TEXTS)
def test_verbs_and_options_exist(path):
    verbs = get_command(app).commands
    for verb, rest in COMMAND.findall(unbroken(path)):
        assert verb in verbs, f"stf {verb}"
        known = {name for param in verbs[verb].params for name in (*param.opts, *param.secondary_opts)} | {"--help"}
        options = set(OPTION.findall(re.split(r" [#(]", rest)[0]))
        assert options <= known, f"stf {verb} {options - known}"


def test_commands_are_found_where_they_stand():
    text = "    stf train R --clips C \\\n        --out O   # --no\n`stf audit --split S` -m stf_mamba study --x\n"
    found = COMMAND.findall(re.sub(r"\\\n\s*", " ", text))
    assert [(verb, OPTION.findall(re.split(r" [#(]", rest)[0])) for verb, rest in found] == [
        ("train", ["--clips", "--out"]),
        ("audit", ["--split"]),
        ("study", ["--x"]),
    ]


@each(TEXTS)
def test_named_paths_exist(path):
    for name in NAMED.findall(TEXTS[path]):
        if not re.search(r"[A-Z]{2}|\.\.\.", name.replace("README", "")):
            assert (ROOT / name).exists(), name


@each(PAGES)
def test_targets_of_make_exist(path):
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = re.findall(r"(?:^    |`)make (?:[A-Z]+=\S+ )*([a-z]+)", PAGES[path], re.MULTILINE)
    assert set(named) <= targets


@each(PAGES)
def test_python_in_documents_names_what_there_is(path):
    for block in re.findall(r"^```python\n(.*?)^```", PAGES[path], re.MULTILINE | re.DOTALL):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.Attribute) and (chain := _from_stf(node)):
                found = stf
                for name in chain:
                    found = getattr(found, name)


def test_no_machine_paths():
    """Documents name no folder of the machine that they were written on."""
    command = ["git", "ls-files", "*.md", "*.toml", "*.yml", "*.sh"]
    for name in subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split():
        assert not re.search(r"(?<![\w.])/(home|root|work|Users)/", (ROOT / name).read_text(encoding="utf-8")), name


def _from_stf(node):
    """``["metrics", "auc"]`` of ``stf.metrics.auc``; empty for what does not begin with ``stf``."""
    names = []
    while isinstance(node, ast.Attribute):
        names.insert(0, node.attr)
        node = node.value
    return names if isinstance(node, ast.Name) and node.id == "stf" else []
