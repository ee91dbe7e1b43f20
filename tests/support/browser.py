"""A page in Chromium, told what to do line by line on the standard input.

Run by a Python that has playwright (COMFY_BROWSER_PYTHON), which is never one of our dependencies.
A line is {"do": "mouse.move", "with": [...], "named": {...}}: a method of playwright's page. The
answer is a line {"value": ...} or {"error": "..."}.
"""

# pyright: reportMissingImports=false
# playwright is never installed where types are checked.
from __future__ import annotations

import json
import os
import shutil
import sys
from functools import reduce
from typing import Any

from playwright.sync_api import Error, Page, Route, sync_playwright

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--no-sandbox",  # containers run as root
    "--disable-gpu",
    "--mute-audio",
    "--autoplay-policy=no-user-gesture-required",
    "--disable-background-networking",
    "--disable-component-update",
)
SIZE = {"width": 1600, "height": 1000}
LOCAL = ("http://127.0.0.1", "data:", "blob:")


def only_local(route: Route) -> None:
    if route.request.url.startswith(LOCAL):
        route.continue_()
    else:
        route.abort()


def answer(page: Page, errors: list[str], line: str) -> dict[str, Any]:
    asked = json.loads(line)
    if asked["do"] == "errors":
        return {"value": errors}
    try:
        method = reduce(getattr, asked["do"].split("."), page)
        value = method(*asked["with"], **asked["named"])
        json.dumps(value)
    except TypeError:  # a handle of playwright's own, which nobody asked for
        return {"value": None}
    except Error as error:
        return {"error": str(error)}
    return {"value": value}


def main() -> None:
    installed = next(filter(None, map(shutil.which, BROWSERS)), None)
    place = os.environ.get("COMFY_BROWSER") or installed  # else what playwright installed
    with sync_playwright() as player:
        browser = player.chromium.launch(executable_path=place, args=list(FLAGS))
        page = browser.new_context(viewport=SIZE, locale="en-US").new_page()
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(error.stack or str(error)))
        page.on("dialog", lambda dialog: dialog.accept())
        page.route("**/*", only_local)
        for line in sys.stdin:
            sys.stdout.write(json.dumps(answer(page, errors, line)) + "\n")
            sys.stdout.flush()
        browser.close()


if __name__ == "__main__":
    main()
