"""Runs commands in this one process, in which heavy packages cannot be imported, and says what came of each.

Reads a JSON list of argument lists on stdin; writes a JSON list of ``{exit_code, said, error}`` on stdout.
"""

import json
import sys

from typer.testing import CliRunner

from stf_mamba.cli.app import app

HEAVY = ("torch", "torchvision", "cv2", "av", "scipy", "sklearn", "matplotlib", "timm", "numpy")


def main() -> None:
    assert not set(HEAVY) & set(sys.modules)
    sys.modules.update(dict.fromkeys(HEAVY))  # whoever goes as far as importing one gets an ImportError
    runner = CliRunner()
    found = []
    for arguments in json.load(sys.stdin):
        result = runner.invoke(app, arguments, prog_name="stf")
        said = " ".join(result.output.split())
        found.append({"exit_code": result.exit_code, "said": said, "error": repr(result.exception)})
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
