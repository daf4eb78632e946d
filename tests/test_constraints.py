"""``constraints.txt`` fits every machine, and covers what ``pyproject.toml`` asks for."""

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
LINES = [line for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines() if line[0] != "#"]


def test_every_line_is_one_version_of_a_package_for_any_machine():
    assert len(LINES) > 50
    for line in LINES:
        requirement = Requirement(line)
        assert requirement.url is None
        (specifier,) = requirement.specifier
        assert specifier.operator == "=="
        assert "+" not in specifier.version, "a local version is of one index"
    assert not [line for line in LINES if re.match("nvidia|cuda|triton", line)], "each build of PyTorch brings its own"


def test_everything_that_is_asked_for_is_held_within_what_is_asked_for():
    held = {}
    for requirement in map(Requirement, LINES):
        held.setdefault(canonicalize_name(requirement.name), []).append(next(iter(requirement.specifier)).version)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    asked = [
        *project["project"]["dependencies"],
        *(line for extra in project["project"]["optional-dependencies"].values() for line in extra),
        *(line for group in project["dependency-groups"].values() for line in group if isinstance(line, str)),
    ]
    assert len(asked) > 20
    for requirement in map(Requirement, asked):
        versions = held[canonicalize_name(requirement.name)]
        assert all(requirement.specifier.contains(version) for version in versions), (requirement, versions)
