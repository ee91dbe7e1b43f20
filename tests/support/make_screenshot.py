"""Photograph the template of the talking avatar in a ComfyUI that runs: docs/pictures/graph.webp.

    cd tests && python -m support.make_screenshot URL BROWSER_PYTHON [PICTURE]

URL is the server's, with this pack in it; BROWSER_PYTHON a Python that has playwright.
"""

from __future__ import annotations

import json
import sys
import urllib.request
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

from support.comfy_page import ComfyPage

ROOT = Path(__file__).resolve().parents[2]
PICTURE = ROOT / "docs" / "pictures" / "graph.webp"
WIDTH = 1280  # pixels of the picture
# Shows the whole graph; returns the page's free part: left, top, right, bottom.
FIT = """() => {
  const boxes = app.graph.nodes.map((node) => node.boundingRect ?? node.getBounding());
  const left = Math.min(...boxes.map((box) => box[0]));
  const top = Math.min(...boxes.map((box) => box[1]));
  const right = Math.max(...boxes.map((box) => box[0] + box[2]));
  const bottom = Math.max(...boxes.map((box) => box[1] + box[3]));
  const view = app.canvas.canvas.getBoundingClientRect();
  const scale = Math.min((view.width - 160) / (right - left), (view.height - 190) / (bottom - top));
  app.canvas.ds.scale = scale;
  app.canvas.ds.offset = [90 / scale - left, 110 / scale - top];
  app.canvas.setDirty(true, true);
  return [view.x + 80, view.y + 98, view.x + 100 + (right - left) * scale,
    view.y + 122 + (bottom - top) * scale]; }"""


SETTINGS = {
    "Comfy.TutorialCompleted": True,  # no window over the graph
    "Comfy.Notification.ShowVersionUpdates": False,
    "Comfy.Workflow.ShowMissingModelsWarning": False,
    "Comfy.VueNodes.Enabled": False,
}


def change_settings(url: str) -> None:
    for name, value in SETTINGS.items():
        asked = urllib.request.Request(f"{url}/settings/{name}", json.dumps(value).encode())
        asked.add_header("Content-Type", "application/json")
        urllib.request.urlopen(asked, timeout=60).close()


def main(url: str, browser_python: str, picture: Path = PICTURE) -> None:
    change_settings(url)
    page = ComfyPage(browser_python, url)
    try:
        page.open()
        page.load(json.loads((ROOT / "workflows" / "talking_avatar.json").read_text()))
        page.run()
        box = page.evaluate(FIT)
        page.pause(3000)
        with TemporaryDirectory() as folder:
            taken = Path(folder) / "page.png"
            page.screenshot(taken)
            with Image.open(taken) as shot:
                left, top, right, bottom = (round(side) for side in box)
                part = shot.convert("RGB").crop((left, top, right, bottom))
        part.thumbnail((WIDTH, WIDTH), Image.Resampling.LANCZOS)
        part.save(picture, quality=80, method=6)
    finally:
        page.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]) if len(sys.argv) > 3 else PICTURE)
