"""Scripts that tests run as processes of their own."""

import json
import subprocess
import sys


def answer_of(script, *arguments, timeout, env=None):
    """What a script prints last, as JSON; it must end without an error."""
    done = subprocess.run(
        [sys.executable, str(script), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        env=env,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])
