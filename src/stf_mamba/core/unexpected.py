"""What nobody foresaw in one file of many: said of that file, kept in a log, and the others go on."""

from __future__ import annotations

import traceback
from datetime import UTC, datetime
from pathlib import Path

LOG_NAME = "errors.log"


def unexpected_reason(error: Exception, file: Path, log: Path) -> str:
    """The reason that a verdict or a list gives of ``file``; the traceback is appended to ``log``.

    Raises:
        OSError: the log cannot be written, so that what is wrong is no matter of the one file.
    """
    now = datetime.now(UTC).isoformat(timespec="seconds")
    entry = f"{now} {file}\n{''.join(traceback.format_exception(error))}\n"
    with log.open("a", encoding="utf-8", errors="backslashreplace") as stream:
        stream.write(entry)  # one write: several processes append
    said = " ".join(str(error).split())
    return f"unexpected error ({type(error).__name__}{': ' if said else ''}{said}); see {log}"
