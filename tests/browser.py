"""A page in headless Chromium: what it shows after a script, and its errors."""

import re
import shutil
import subprocess

import pytest

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))),
    None,
)
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"),
    *("--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--enable-logging=stderr"),
    *("--virtual-time-budget=3000", "--dump-dom"),
)


def shown(page, tmp_path, script=""):
    """The document after `script` has run, and what the console said.

    Skips where there is no Chromium. The script runs in a copy of the page.
    """
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    copy = tmp_path / "copy.html"
    text = page.read_text("utf-8")
    copy.write_text(
        text.replace("</body>", f"<script>{{{script}}}</script></body>"), "utf-8"
    )
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    done = subprocess.run(
        [CHROMIUM, *FLAGS, profile, copy.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout, re.findall(r".*CONSOLE.*", done.stderr)
