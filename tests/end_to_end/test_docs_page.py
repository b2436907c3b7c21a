"""The page /docs in a real browser, where there is one: Debian's package chromium."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.end_to_end.test_commands import master
from tests.processes import Processes, free_port

CHROMIUM = shutil.which("chromium")
# Nothing of the browser's own goes to the network, which it may not have.
OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--disable-default-apps"),
)
BROWSER_SECONDS = 120.0


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium: apt-get install chromium")
def test_a_browser_shows_every_url_and_loads_nothing_else(run: Processes, tmp_path: Path) -> None:
    rest = free_port()
    desk, _, _ = master(run, "--rest", str(rest))
    log = tmp_path / "net.json"
    files = (f"--user-data-dir={tmp_path / 'profile'}", f"--log-net-log={log}")
    page = f"http://127.0.0.1:{rest}/docs"
    browser = subprocess.run(
        [str(CHROMIUM), *OPTIONS, *files, "--dump-dom", page],
        capture_output=True,
        text=True,
        timeout=BROWSER_SECONDS,
        check=True,
    )
    assert browser.stdout.count("<tr>") > 40
    assert "<code>/v2/models/{model}/infer</code>" in browser.stdout
    urls = set(re.findall(r'"url":"([^"]+)"', log.read_text()))
    assert page in urls
    # Of elsewhere there may be what the browser asks for itself; the page's header forbids it the rest.
    assert not {url for url in urls if f":{rest}/" in url} - {page, f"http://127.0.0.1:{rest}/"}
    assert desk.stop() == 0
