#!/bin/sh
# Photographs the demonstration's verdict for the README: demo/held-out.html → docs/images/verdict.png. Needs Chromium.
set -eu
cd -- "$(dirname -- "$0")/.."

[ -f demo/held-out.html ] || .venv/bin/stf demo
for browser in chromium chromium-browser google-chrome; do
    if command -v "$browser" >/dev/null; then break; fi
done
profile=$(mktemp -d)
trap 'rm -rf "$profile"' EXIT
"$browser" --headless --no-sandbox --disable-gpu --hide-scrollbars --force-device-scale-factor=1 --window-size=1000,1336 \
    --user-data-dir="$profile" --screenshot="$PWD/docs/images/verdict.png" "file://$PWD/demo/held-out.html" 2>/dev/null
.venv/bin/python - <<'END'
from PIL import Image

path = "docs/images/verdict.png"
Image.open(path).convert("RGB").quantize(128, dither=Image.Dither.NONE).save(path, optimize=True)
END
ls -l docs/images/verdict.png
