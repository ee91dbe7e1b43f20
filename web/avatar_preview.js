// The preview of LoadAvatar: the avatar, two lip corners to drag, and faces to click.
import { drawFaces, faceAt, middleOf } from "./face_frames.js";
import { fileUrl } from "./files.js";
import { t } from "./words.js";

const VIDEO = /\.(avi|m4v|mkv|mov|mp4|webm)$/i;
const HANDLE_RADIUS = 5; // pixels on the page
const GRAB_RADIUS = 18;
const CLICK_RADIUS = 3; // what moves less was clicked, not dragged
const FOUND = "#ff4d6d"; // lip corners that were found or given
const GUESSED = "#ffe066"; // where they might be, to be dragged

/** The picture or video of an avatar with its two lip corners and the faces drawn on it. */
export class AvatarPreview {
  /** onCorners: called with "x0,y0,x1,y1". onFace: with a point "x,y", or "" beside the faces. */
  constructor(onCorners, onFace) {
    this.onCorners = onCorners;
    this.onFace = onFace;
    this.corners = null; // [x0, y0, x1, y1] in pixels of the file
    this.sure = true;
    this.faces = []; // boxes as the corners, largest first
    this.chosen = { point: null, index: 0 };
    this.element = document.createElement("div");
    this.element.style.cssText = "position:relative;width:100%;height:100%;overflow:hidden";
    this.canvas = document.createElement("canvas");
    this.canvas.style.cssText = "position:absolute;inset:0;width:100%;height:100%;touch-action:none";
    this.canvas.title = t("Click a face to choose it; drag the two dots to the lip corners");
    this.words = document.createElement("div");
    this.words.style.cssText = "position:absolute;inset:0;display:flex;align-items:center;padding:1em;text-align:center";
    this.canvas.onpointerdown = (event) => this.grab(event);
    this.canvas.onpointermove = (event) => this.drag(event);
    this.canvas.onpointerup = () => this.drop();
    new ResizeObserver(() => this.draw()).observe(this.element);
  }

  show(name) {
    const isVideo = VIDEO.test(name.replace(/\s*\[\w+\]$/, ""));
    this.media = document.createElement(isVideo ? "video" : "img");
    this.media.style.cssText = "width:100%;height:100%;object-fit:contain";
    if (isVideo) Object.assign(this.media, { muted: true, preload: "auto" });
    this.media.onload = this.media.onloadeddata = () => this.draw();
    this.media.onerror = ({ target }) => target === this.media && this.explain(target.src);
    this.media.src = fileUrl(name);
    this.element.replaceChildren(this.media, this.canvas);
  }

  /** Words in place of a broken picture. */
  async explain(url) {
    const { status } = await fetch(url, { method: "HEAD" }).catch(() => ({ status: 0 }));
    if (this.media.src !== url) return; // another file was chosen meanwhile
    this.say(
      status === 200
        ? t("This browser cannot show the file; the run may still read it.")
        : t("There is no picture or video of this name: choose or upload one."),
    );
  }

  say(text) {
    this.media = null;
    this.words.textContent = text;
    this.element.replaceChildren(this.words, this.canvas);
    this.draw();
  }

  /** Where the file's pixels are on the canvas: origin and scale, or null before it is loaded. */
  frame() {
    const width = this.media?.naturalWidth || this.media?.videoWidth;
    const height = this.media?.naturalHeight || this.media?.videoHeight;
    if (!width || !this.element.clientWidth) return null;
    const { clientWidth, clientHeight } = this.element;
    const scale = Math.min(clientWidth / width, clientHeight / height);
    const left = (clientWidth - width * scale) / 2;
    return { left, top: (clientHeight - height * scale) / 2, scale, width, height };
  }

  /** Put the corners where they were found, or where they might be when they were not. */
  place(corners) {
    const frame = this.frame();
    this.sure = corners !== null;
    this.corners = corners ?? (frame && guessedCorners(frame));
    this.draw();
  }

  draw() {
    this.canvas.width = this.element.clientWidth;
    this.canvas.height = this.element.clientHeight;
    const frame = this.frame();
    if (!frame) return;
    const pen = this.canvas.getContext("2d");
    drawFaces(pen, frame, this.faces, this.chosen.point, this.chosen.index);
    if (this.corners) this.drawCorners(pen, this.handles(frame, this.corners));
  }

  drawCorners(pen, [a, b]) {
    const strokes = [["#000000a0", 3.5], [this.sure ? FOUND : GUESSED, 1.5]]; // readable on any skin
    for (const [color, width] of strokes) {
      Object.assign(pen, { strokeStyle: color, lineWidth: width });
      pen.beginPath();
      pen.moveTo(...a);
      pen.lineTo(...b);
      for (const [x, y] of [a, b]) {
        pen.moveTo(x + HANDLE_RADIUS, y);
        pen.arc(x, y, HANDLE_RADIUS, 0, 2 * Math.PI);
      }
      pen.stroke();
    }
  }

  handles({ left, top, scale }, [x0, y0, x1, y1]) {
    return [
      [left + x0 * scale, top + y0 * scale],
      [left + x1 * scale, top + y1 * scale],
    ];
  }

  point(event) {
    // The page may be zoomed: the canvas's own pixels against what the pointer sees.
    const seen = this.canvas.getBoundingClientRect();
    const zoom = seen.width / this.canvas.width || 1;
    return [(event.clientX - seen.left) / zoom, (event.clientY - seen.top) / zoom];
  }

  grab(event) {
    const frame = this.frame();
    if (!frame) return;
    this.pressed = this.point(event);
    const [x, y] = this.pressed;
    const handles = this.handles(frame, this.corners ?? guessedCorners(frame));
    const far = handles.map(([hx, hy]) => Math.hypot(hx - x, hy - y));
    const nearest = far[0] <= far[1] ? 0 : 1;
    this.held = far[nearest] <= GRAB_RADIUS ? nearest : null;
    this.canvas.setPointerCapture(event.pointerId);
  }

  drag(event) {
    const frame = this.frame();
    if (!this.pressed || !frame) return;
    const [x, y] = this.point(event);
    this.moved ||= Math.hypot(x - this.pressed[0], y - this.pressed[1]) > CLICK_RADIUS;
    if (this.held === null || !this.moved) return;
    if (!this.corners) this.place(null);
    const at = inFile(frame, [x, y]);
    this.corners[2 * this.held] = Math.min(Math.max(at[0], 0), frame.width - 1);
    this.corners[2 * this.held + 1] = Math.min(Math.max(at[1], 0), frame.height - 1);
    this.draw();
  }

  drop() {
    const { pressed, held, moved } = this;
    Object.assign(this, { pressed: null, held: null, moved: false });
    const frame = this.frame();
    if (!pressed || !frame) return;
    if (!moved) this.choose(frame, inFile(frame, pressed));
    else if (held !== null) {
      this.sure = true;
      this.onCorners(this.corners.map((value) => value.toFixed(1)).join(","));
    }
  }

  /** Choose the face at a point of the file; where none was looked for yet, the run finds it. */
  choose({ width, height }, [x, y]) {
    const place = faceAt(this.faces, [x, y]);
    const isOn = place >= 0 || (!this.faces.length && x >= 0 && y >= 0 && x < width && y < height);
    const at = place >= 0 ? middleOf(this.faces[place]) : [x, y];
    this.onFace(isOn ? at.map(Math.round).join(",") : "");
  }
}

/** Where the lip corners might be, to be dragged. */
function guessedCorners({ width, height }) {
  return [0.42 * width, 0.6 * height, 0.58 * width, 0.6 * height];
}

/** A point of the canvas in pixels of the file. */
function inFile({ left, top, scale }, [x, y]) {
  return [(x - left) / scale, (y - top) / scale];
}
