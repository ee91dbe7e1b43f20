// Comfort for the editor: upload and preview of an avatar, lip corners that can be dragged, and
// texts shown in the nodes. Every node works without it.
import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";

const VIDEO = /\.(avi|m4v|mkv|mov|mp4|webm)$/i;
const SAMPLES = "samples/";
const HANDLE_RADIUS = 7; // pixels on the page
const GRAB_RADIUS = 18;
const PREVIEW_HEIGHT = 240;

function fileUrl(name) {
  if (name.startsWith(SAMPLES)) return new URL(name, import.meta.url).href;
  const [, path, , type] = name.match(/^(.*?)(\s*\[(input|output|temp)\])?$/);
  const cut = path.lastIndexOf("/");
  const query = new URLSearchParams({
    filename: path.slice(cut + 1),
    subfolder: cut < 0 ? "" : path.slice(0, cut),
    type: type ?? "input",
  });
  return api.apiURL(`/view?${query}`);
}

async function upload(file) {
  const body = new FormData();
  body.append("image", file);
  const answer = await api.fetchApi("/upload/image", { method: "POST", body });
  if (answer.status !== 200) throw new Error(`The upload failed: ${answer.status} ${answer.statusText}`);
  const { name, subfolder } = await answer.json();
  return subfolder ? `${subfolder}/${name}` : name;
}

function chooseFile() {
  return new Promise((resolve) => {
    const input = document.createElement("input");
    Object.assign(input, { type: "file", accept: "image/*,video/*" });
    input.onchange = () => resolve(input.files[0]);
    input.click();
  });
}

/** The picture or video of an avatar with its two lip corners drawn on it. */
class AvatarPreview {
  constructor(onCorners) {
    this.onCorners = onCorners;
    this.corners = null; // [x0, y0, x1, y1] in pixels of the file
    this.element = document.createElement("div");
    this.element.style.cssText = "position:relative;width:100%;height:100%;overflow:hidden";
    this.canvas = document.createElement("canvas");
    this.canvas.style.cssText = "position:absolute;inset:0;width:100%;height:100%;touch-action:none";
    this.canvas.title = "Drag the two dots to the lip corners";
    this.canvas.onpointerdown = (event) => this.grab(event);
    this.canvas.onpointermove = (event) => this.drag(event);
    this.canvas.onpointerup = () => this.drop();
    new ResizeObserver(() => this.draw()).observe(this.element);
  }

  show(name) {
    const isVideo = VIDEO.test(name.replace(/\s*\[\w+\]$/, ""));
    this.media = document.createElement(isVideo ? "video" : "img");
    this.media.style.cssText = "width:100%;height:100%;object-fit:contain";
    if (isVideo) Object.assign(this.media, { muted: true, loop: true, preload: "metadata" });
    this.media.onload = this.media.onloadeddata = () => this.draw();
    this.media.src = fileUrl(name);
    this.element.replaceChildren(this.media, this.canvas);
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

  draw() {
    this.canvas.width = this.element.clientWidth;
    this.canvas.height = this.element.clientHeight;
    const frame = this.frame();
    if (!frame || !this.corners) return;
    const pen = this.canvas.getContext("2d");
    const [a, b] = this.handles(frame);
    pen.strokeStyle = pen.fillStyle = "#ff4d6d";
    pen.lineWidth = 2;
    pen.beginPath();
    pen.moveTo(...a);
    pen.lineTo(...b);
    pen.stroke();
    for (const [x, y] of [a, b]) {
      pen.beginPath();
      pen.arc(x, y, HANDLE_RADIUS, 0, 2 * Math.PI);
      pen.stroke();
    }
  }

  handles({ left, top, scale }) {
    const [x0, y0, x1, y1] = this.corners;
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
    const { width, height } = frame;
    this.corners ??= [0.42 * width, 0.6 * height, 0.58 * width, 0.6 * height];
    const [x, y] = this.point(event);
    const far = this.handles(frame).map(([hx, hy]) => Math.hypot(hx - x, hy - y));
    const nearest = far[0] <= far[1] ? 0 : 1;
    this.held = far[nearest] <= GRAB_RADIUS ? nearest : null;
    if (this.held !== null) this.canvas.setPointerCapture(event.pointerId);
    this.draw();
  }

  drag(event) {
    const frame = this.frame();
    if (this.held == null || !frame) return;
    const [x, y] = this.point(event);
    const at = [(x - frame.left) / frame.scale, (y - frame.top) / frame.scale];
    this.corners[2 * this.held] = Math.min(Math.max(at[0], 0), frame.width - 1);
    this.corners[2 * this.held + 1] = Math.min(Math.max(at[1], 0), frame.height - 1);
    this.draw();
  }

  drop() {
    if (this.held == null) return;
    this.held = null;
    this.onCorners(this.corners.map((value) => value.toFixed(1)).join(","));
  }
}

function readCorners(text) {
  const numbers = text.split(/[,;\s]+/).filter(Boolean).map(Number);
  return numbers.length === 4 && numbers.every(Number.isFinite) ? numbers : null;
}

/** Call ours after whatever the widget or node already does there. */
function after(target, name, ours) {
  const before = target[name];
  target[name] = function (...parts) {
    const answer = before?.apply(this, parts);
    ours.apply(this, parts);
    return answer;
  };
}

function dressLoadAvatar(node) {
  const file = node.widgets.find((widget) => widget.name === "avatar");
  const mouth = node.widgets.find((widget) => widget.name === "mouth");
  const preview = new AvatarPreview((text) => {
    mouth.value = text;
    mouth.callback?.(text);
  });
  const refresh = () => {
    preview.corners = readCorners(mouth.value);
    preview.show(file.value ?? "");
  };
  after(file, "callback", refresh);
  after(mouth, "callback", () => {
    preview.corners = readCorners(mouth.value);
    preview.draw();
  });
  const button = node.addWidget("button", "choose file to upload", null, async () => {
    const chosen = await chooseFile();
    if (!chosen) return;
    const name = await upload(chosen);
    if (!file.options.values.includes(name)) file.options.values.push(name);
    file.value = name;
    file.callback?.(name);
  });
  button.serialize = false;
  const shown = node.addDOMWidget("avatar_preview", "avatar_preview", preview.element, {
    serialize: false,
    getMinHeight: () => PREVIEW_HEIGHT,
  });
  shown.serialize = false;
  after(node, "onConfigure", refresh);
  after(node, "onExecuted", (message) => {
    if (mouth.value.trim()) return;
    preview.corners = message.avatar_lips?.[0] ?? null;
    preview.draw();
  });
  refresh();
}

function showTexts(node) {
  const box = document.createElement("textarea");
  box.readOnly = true;
  box.style.cssText = "width:100%;height:100%;resize:none;font:11px monospace;white-space:pre";
  const shown = node.addDOMWidget("shown_text", "shown_text", box, {
    serialize: false,
    getMinHeight: () => 60,
  });
  shown.serialize = false;
  after(node, "onExecuted", (message) => {
    box.value = (message.text ?? []).join("\n");
  });
}

app.registerExtension({
  name: "AvatarVideo.Comfort",
  nodeCreated(node) {
    if (node.comfyClass === "LoadAvatar") dressLoadAvatar(node);
    if (node.comfyClass === "MuseTalkLipSync" || node.comfyClass === "VideoInfo") showTexts(node);
  },
});
