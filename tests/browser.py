"""A real Chromium for tests of pages: what it shows, and what it complains of.

It is the system's browser (Debian's package ``chromium``), driven by Playwright.
"""

from __future__ import annotations

import base64
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, ConsoleMessage, Page, Request, sync_playwright

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
SCREEN = {"width": 1280, "height": 900}


@dataclass
class Opened:
    """A page that a browser has loaded.

    ``complaints`` are its errors and warnings on the console (a broken content security policy
    is one), exceptions of its scripts, and whatever it tried to load.
    """

    page: Page
    complaints: list[str] = field(default_factory=list)

    @property
    def load_seconds(self) -> float:
        """From the start of the navigation to the end of the load event, by the browser's clock."""
        return float(
            self.page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd") / 1000
        )

    def wait_until(self, *marks: str) -> float:
        """Wait until the page has set these performance marks; seconds from its start to the last.

        The page of the report sets ``tables`` and ``charts``.
        """
        times = "Math.max(...names.map(n => performance.getEntriesByName(n)[0]?.startTime ?? NaN))"
        asked = self.page.wait_for_function(f"names => {times} || null", arg=list(marks))
        return float(asked.json_value()) / 1000

    def colours(self, selector: str = "body") -> int:
        """How many different colours a screenshot of an element has; a blank one has 1."""
        picture = self.page.locator(selector).first.screenshot()
        return int(self.page.evaluate(COUNT_COLOURS, base64.b64encode(picture).decode()))


COUNT_COLOURS = """async (encoded) => {
  const bytes = Uint8Array.from(atob(encoded), (character) => character.charCodeAt());
  const picture = await createImageBitmap(new Blob([bytes], {type: "image/png"}));
  const canvas = new OffscreenCanvas(picture.width, picture.height).getContext("2d");
  canvas.drawImage(picture, 0, 0);
  const pixels = canvas.getImageData(0, 0, picture.width, picture.height).data;
  return new Set(new Uint32Array(pixels.buffer)).size;
}"""


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start the system's Chromium, and end it."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        raise RuntimeError("no Chromium; install Debian's package chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def opened(browser: Browser, path: Path, **options: Any) -> Iterator[Opened]:
    """Open a file, offline, and wait for its load event; options are of a browser's context.

    For example ``color_scheme="dark"``.
    """
    context = browser.new_context(**{"offline": True, "viewport": SCREEN, **options})
    try:
        found = Opened(context.new_page())
        address = path.resolve().as_uri()

        def console(message: ConsoleMessage) -> None:
            if message.type in ("error", "warning"):
                found.complaints.append(message.text)

        def request(asked: Request) -> None:
            if not asked.url.startswith((address, "data:", "blob:")):
                found.complaints.append(f"asked for {asked.url}")

        found.page.on("console", console)
        found.page.on("pageerror", lambda error: found.complaints.append(str(error)))
        found.page.on("request", request)
        found.page.goto(address, wait_until="load")
        yield found
    finally:
        context.close()
