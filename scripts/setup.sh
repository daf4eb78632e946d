#!/bin/sh
# Makes .venv, the environment of this project, or brings it up to date; says nothing where there is nothing to do.
#
#   PYTHON=/usr/bin/python3.12   the interpreter to use; without it the first of those below that is new enough
#   TORCH=cpu                    PyTorch's build without CUDA, from PyTorch's own index (Linux takes CUDA otherwise)
#
# The stamp is written last, so an environment that was left half made is never taken for a whole one.
set -eu
cd -- "$(dirname -- "$0")/.."

VENV=.venv
STAMP=$VENV/made-from
EXTRAS='.[lite,report,tensorboard]'
NEEDED_KB=4000000
NEEDED_CUDA_KB=9000000

say() { printf '%s\n' "$*" >&2; }

fail() {
    say "make: $*"
    exit 1
}

# What the environment was made from: the two files by content, and the folder, because scripts in it hold its path.
wanted() {
    cksum pyproject.toml constraints.txt
    pwd
}

is_new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

free_kb() { df -Pk . | awk 'END { for (i = NF; i > 1; i--) if ($i ~ /%$/) { print $(i - 1); exit } }'; }

choose_python() {
    if [ -n "${PYTHON:-}" ]; then
        is_new_enough "$PYTHON" || fail "PYTHON is '$PYTHON', which is $("$PYTHON" -V 2>&1 || true); Python 3.11 or later is needed."
        return
    fi
    for PYTHON in python3.13 python3.12 python3.11 python3; do
        if is_new_enough "$PYTHON"; then return; fi
    done
    PYTHON=
    if command -v uv >/dev/null; then
        PYTHON=3.12 # uv brings it along
        return
    fi
    fail "Python 3.11 or later is needed; found $(python3 -V 2>&1 || true).
  Debian, Ubuntu:  apt install python3.12 python3.12-venv     macOS:  brew install python@3.12
  or name one:     make PYTHON=/path/to/python3.12 demo       or install uv, which brings its own."
}

require_room() {
    free=$(free_kb)
    case $free in '' | *[!0-9]*) return ;; esac # a file system that does not say
    if [ "$free" -lt "$NEEDED_KB" ]; then
        fail "$((free / 1000)) MB are free here. The environment takes about 2 GB with PyTorch's CPU build, 4 GB while it
  is being installed, and 9 GB with the CUDA build that Linux gets without TORCH=cpu. Make room and try again."
    fi
    if [ "$(uname -s)" = Linux ] && [ "${TORCH:-}" != cpu ] && [ "$free" -lt "$NEEDED_CUDA_KB" ]; then
        say "make: $((free / 1000)) MB are free here; PyTorch's CUDA build may need 9000. TORCH=cpu takes the small one."
    fi
}

install_with_uv() {
    if [ "${TORCH:-}" = cpu ]; then export UV_TORCH_BACKEND=cpu; fi
    uv pip install --python $VENV/bin/python --constraint constraints.txt --editable "$EXTRAS" --group dev
}

install_with_pip() {
    quiet=--quiet
    if [ -t 2 ]; then quiet=; fi
    # Dependency groups came with pip 25.1.
    $VENV/bin/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1' || return 1
    if [ "${TORCH:-}" = cpu ]; then set -- --extra-index-url https://download.pytorch.org/whl/cpu; fi
    $VENV/bin/python -m pip install $quiet --constraint constraints.txt --editable "$EXTRAS" --group dev "$@"
}

if [ -f $STAMP ] && [ "$(cat $STAMP)" = "$(wanted)" ] && $VENV/bin/python -c '' 2>/dev/null; then
    exit 0
fi

choose_python
if command -v uv >/dev/null; then tool=uv; else tool=pip; fi
if [ -f $STAMP ] && [ "$(tail -n 1 $STAMP)" = "$(pwd)" ] && $VENV/bin/python -c '' 2>/dev/null; then
    say "pyproject.toml or constraints.txt changed: bringing $VENV up to date with $tool"
    rm -f $STAMP
else
    require_room
    say "making $VENV with $tool and $("$PYTHON" -V 2>/dev/null || echo "Python $PYTHON"), once; the downloads take some minutes"
    rm -rf $VENV
    if [ $tool = uv ]; then
        uv venv --quiet --seed --python "$PYTHON" $VENV || fail "uv made no environment: see its message above."
    else
        "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null || fail "$("$PYTHON" -V) comes without venv.
  Debian, Ubuntu:  apt install $("$PYTHON" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')     or install uv."
        "$PYTHON" -m venv $VENV || fail "no environment was made: see the message above."
    fi
fi
"install_with_$tool" || fail "$tool did not finish: see its message above. The environment in $VENV is not whole and will be
  made anew next time. Free here: $(df -Ph . | awk 'END { print $4 }')."
wanted >$STAMP
