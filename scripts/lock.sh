#!/bin/sh
# Writes constraints.txt: one version of every package of every extra and group, for any machine and Python 3.11 or later.
#
# Left out: what PyTorch's CUDA build brings along, which each build of PyTorch pins by itself.
set -eu
cd -- "$(dirname -- "$0")/.."

if ! command -v uv >/dev/null; then
    [ -x build/uv/bin/uv ] || { .venv/bin/python -m venv build/uv && build/uv/bin/python -m pip install --quiet uv; }
    PATH=$PWD/build/uv/bin:$PATH
fi
mkdir -p build
uv pip compile pyproject.toml --universal --python-version 3.11 --fork-strategy fewest --all-extras --group dev \
    --no-header --no-annotate --upgrade --quiet --output-file build/constraints.txt
{
    echo "# Made by: make lock. Versions for any machine; make demo, make test and make check install within them."
    grep -E -v '^(nvidia|cuda|triton|#)' build/constraints.txt
} >build/constraints.new
mv build/constraints.new constraints.txt
