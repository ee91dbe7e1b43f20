// Comfort for the editor: upload and preview of an avatar, lip corners that can be dragged, bundled
// samples that can be heard, and texts shown in the nodes. Every node works without it.
import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";

const VIDEO = /\.(avi|m4v|mkv|mov|mp4|webm)$/i;
const SAMPLES = "samples/";
const ACCEPTED = "image/*,video/*,.mkv,.avi";
const HANDLE_RADIUS = 5; // pixels on the page
const GRAB_RADIUS = 18;
const PREVIEW_HEIGHT = 240;
const FOUND = "#ff4d6d"; // lip corners that were found or given
const INPUT = 1; // LiteGraph's number of that side of a node
const BLUEPRINTS = ["Portrait speaks", "Dub a video", "Check a video"];
const NUMBER = /\d+(?:\.\d+)?/g;
const GUESSED = "#ffe066"; // where they might be, to be dragged

let translated = {}; // English text -> the text in the page's language

function t(text) {
  return translated[text] ?? text;
}

/** What the page shows of ours besides the nodes' own labels, which ComfyUI takes from locales. */
async function learnLanguage() {
  const locale = app.extensionManager?.setting?.get?.("Comfy.Locale") ?? "en";
  if (!/^zh(-CN)?$/.test(locale)) return;
  const answer = await fetch(new URL("words/zh.json", import.meta.url));
  if (answer.ok) translated = await answer.json();
}

/** Our template's note, in English or translated already; others stay as they were written. */
function isOurNote({ type, widgets }) {
  const text = type === "MarkdownNote" ? widgets?.[0]?.value : undefined;
  return text !== undefined && (text in translated || Object.values(translated).includes(text));
}

/** The notes and titles of our templates. */
function translateLoaded(node) {
  if (isOurNote(node)) node.widgets[0].value = t(node.widgets[0].value);
  else if (node.title in translated && node.graph?.nodes?.some(isOurNote)) node.title = t(node.title);
}

/** A placed blueprint: ComfyUI itself shows its name and slots as they stand in its file. */
function translateBlueprint(node) {
  const english = node.subgraph?.name;
  if (!BLUEPRINTS.includes(english) || !(english in translated)) return;
  if (node.title === english) node.title = t(english);
  for (const slot of [...(node.inputs ?? []), ...(node.outputs ?? [])]) {
    const label = slot.label ?? slot.name;
    if (!slot.widget && label in translated) slot.label = t(label);
  }
}

/** What a menu offers: the value stays what it is, and is shown behind its translation. */
function translateChoices(node) {
  for (const { name, options } of node.widgets ?? []) {
    if (!options?.values || !Object.keys(translated).some((key) => key.startsWith(`${name}: `))) continue;
    options.getOptionLabel = (value) => {
      const told = translated[`${name}: ${value}`];
      return told ? `${told}\uff08${value}\uff09` : String(value ?? "");
    };
  }
}

/** A mode and its reasons, as the server says them in English: "puppet: lips found; no blinks". */
function inWords(text) {
  if (!Object.keys(translated).length) return text;
  const [, mode, reasons] = text.match(/^(?:(musetalk|puppet|static): )?(.*)$/s);
  const said = reasons.split("; ").map((reason) => {
    const numbers = reason.match(NUMBER) ?? [];
    return translated[reason.replace(NUMBER, "#")]?.replace(/#/g, () => numbers.shift()) ?? reason;
  });
  if (!mode) return said.join("\uff1b");
  const name = translated[`mode: ${mode}`];
  return `${name ? `${name}\uff08${mode}\uff09` : mode}\uff1a${said.join("\uff1b")}`;
}

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
  if (answer.status !== 200) {
    const detail = `${file.name}: ${answer.status} ${answer.statusText}`;
    app.extensionManager.toast.add({ severity: "error", summary: t("The upload failed"), detail, life: 9000 });
    return null;
  }
  const { name, subfolder } = await answer.json();
  return subfolder ? `${subfolder}/${name}` : name;
}

function chooseFile() {
  return new Promise((resolve) => {
    const input = document.createElement("input");
    Object.assign(input, { type: "file", accept: ACCEPTED });
    input.onchange = () => resolve(input.files[0]);
    input.click();
  });
}

/** The picture or video of an avatar with its two lip corners drawn on it. */
class AvatarPreview {
  constructor(onCorners) {
    this.onCorners = onCorners;
    this.corners = null; // [x0, y0, x1, y1] in pixels of the file
    this.sure = true;
    this.element = document.createElement("div");
    this.element.style.cssText = "position:relative;width:100%;height:100%;overflow:hidden";
    this.canvas = document.createElement("canvas");
    this.canvas.style.cssText = "position:absolute;inset:0;width:100%;height:100%;touch-action:none";
    this.canvas.title = t("Drag the two dots to the lip corners");
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
    const guess = ({ width, height }) => [0.42 * width, 0.6 * height, 0.58 * width, 0.6 * height];
    this.corners = corners ?? (frame && guess(frame));
    this.draw();
  }

  draw() {
    this.canvas.width = this.element.clientWidth;
    this.canvas.height = this.element.clientHeight;
    const frame = this.frame();
    if (!frame || !this.corners) return;
    const pen = this.canvas.getContext("2d");
    const [a, b] = this.handles(frame);
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
    if (!this.corners) this.place(null);
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
    this.sure = true;
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

/** Where the page's file and text widgets, our preview and our button meet. */
function dressLoadAvatar(node) {
  const file = node.widgets.find((widget) => widget.name === "avatar");
  const mouth = node.widgets.find((widget) => widget.name === "mouth");
  const set = (widget, value) => {
    widget.value = value;
    widget.callback?.(value);
    node.setDirtyCanvas(true, true);
  };
  const preview = new AvatarPreview((text) => set(mouth, text));
  let shown = null;
  const isLinked = () => node.inputs?.some((input) => input.name === "path" && input.link != null);
  const refresh = () => {
    shown = file.value ?? "";
    preview.corners = readCorners(mouth.value);
    preview.sure = true;
    if (isLinked()) preview.say(t("The linked path says which file is used."));
    else preview.show(shown);
  };
  const take = async (chosen) => {
    const name = chosen && (await upload(chosen));
    if (!name) return;
    if (!file.options.values.includes(name)) file.options.values.push(name);
    set(file, name);
  };
  after(file, "callback", () => {
    if (shown !== null && shown !== file.value) mouth.value = ""; // corners of another picture
    refresh();
  });
  after(mouth, "callback", () => {
    preview.corners = readCorners(mouth.value);
    preview.sure = true;
    preview.draw();
  });
  const choose = async () => take(await chooseFile());
  const button = node.addWidget("button", "choose file to upload", null, choose, { serialize: false });
  button.label = t(button.name);
  unsaved(button);
  addElement(node, "avatar_preview", preview.element, PREVIEW_HEIGHT).label = t("picture and lips");
  node.onDragOver = (event) => [...(event.dataTransfer?.items ?? [])].some((item) => item.kind === "file");
  node.onDragDrop = (event) => {
    const dropped = [...event.dataTransfer.files].find((one) => /^(image|video)\//.test(one.type));
    if (dropped) take(dropped);
    return Boolean(dropped);
  };
  after(node, "onConfigure", refresh);
  after(node, "onConnectionsChange", (kind, slot) => {
    if (kind === INPUT && node.inputs[slot]?.name === "path") refresh();
  });
  after(node, "onExecuted", (message) => {
    if (!mouth.value.trim() && !isLinked()) preview.place(message.avatar_lips?.[0] ?? null);
  });
  refresh();
}

/** The page looks for every sound in the input folder; the bundled samples are not there. */
document.addEventListener("error", ({ target }) => {
  if (!(target instanceof HTMLAudioElement) || !target.src.includes("/view?")) return;
  const asked = new URL(target.src).searchParams;
  if (`${asked.get("subfolder")}/` === SAMPLES) target.src = fileUrl(SAMPLES + asked.get("filename"));
}, true); // errors do not bubble

function dressAudioToMel(node) {
  const file = node.widgets.find((widget) => widget.name === "audio");
  const player = node.widgets.find((widget) => widget.name === "audioUI")?.element;
  const listen = () => {
    if (!player || !file.value?.startsWith(SAMPLES)) return;
    player.src = fileUrl(file.value);
    player.classList.remove("empty-audio-widget");
  };
  after(file, "callback", listen);
  after(node, "onGraphConfigured", listen);
  listen();
}

function textBox(node, wrap) {
  const box = document.createElement("textarea");
  box.readOnly = true;
  box.style.cssText = `box-sizing:border-box;width:100%;height:100%;resize:none;font:11px monospace;white-space:${wrap}`;
  addElement(node, "shown_text", box, 60).label = t("result");
  return box;
}

function showTexts(node, wrap) {
  const box = textBox(node, wrap);
  after(node, "onExecuted", (message) => {
    box.value = (message.text ?? []).map(inWords).join("\n");
  });
}

/** A node that seldom has something to say gets its box with the first words. */
function showNotes(node) {
  let box = null;
  after(node, "onExecuted", (message) => {
    if (!box && message.text?.length) box = textBox(node, "pre-wrap");
    if (box) box.value = (message.text ?? []).map(inWords).join("\n");
  });
}

/** The page takes an animated picture for a video, which it cannot play. */
function tellPictures(node, message) {
  const isPicture = (message.images ?? []).some((one) => /\.(gif|webp)$/i.test(one.filename));
  node.previewMediaType = isPicture ? "image" : undefined;
}

/**
 * The page sends the player that it adds for a finished video as an input of the next run, which is
 * then another prompt: the same video would be encoded again.
 */
function keepPlayerOutOfPrompts(node) {
  const add = node.addDOMWidget;
  node.addDOMWidget = function (...parts) {
    const widget = add.apply(this, parts);
    widget.options.serialize = false;
    return widget;
  };
}

function addElement(node, name, element, height) {
  element.dataset.avatarVideo = name;
  const widget = node.addDOMWidget(name, name, element, { serialize: false, getMinHeight: () => height });
  unsaved(widget);
  after(node, "onGraphConfigured", () => putBack(node, element));
  return widget;
}

/**
 * Nodes 2.0 keeps what it drew of a node that an undo made anew: our element is then nowhere, and that
 * of the node before stays on screen. It is drawn some frames later, so look for it for a while.
 */
function putBack(node, element, frames = 60) {
  if (element.isConnected || !frames) return;
  const place = `[data-node-id="${node.id}"] [data-avatar-video="${element.dataset.avatarVideo}"]`;
  const stale = document.querySelector(place);
  if (stale) stale.replaceWith(element);
  else requestAnimationFrame(() => putBack(node, element, frames - 1));
}

/** Leave a widget out of saved files: their values are those of the inputs, by position. */
function unsaved(widget) {
  widget.serialize = false;
}

const DRESS = {
  LoadAvatar: (node) => {
    dressLoadAvatar(node);
    showNotes(node);
  },
  AudioToMel: (node) => {
    dressAudioToMel(node);
    showNotes(node);
  },
  FFmpegEncode: (node) => {
    keepPlayerOutOfPrompts(node);
    showNotes(node);
    after(node, "onExecuted", (message) => tellPictures(node, message));
  },
  MuseTalkLipSync: (node) => showTexts(node, "pre-wrap"),
  VideoInfo: (node) => showTexts(node, "pre"),
};

const HISTORY_TRIES = 10; // a run's history is written a moment after its end
const HISTORY_WAIT = 200; // milliseconds

/** The page's node of an id as "3", or "10:3" inside the sub-graph of node 10. */
function nodeOf(id) {
  return String(id).split(":").reduce((inside, part) => {
    const graph = inside?.subgraph ?? inside;
    return graph?.getNodeById?.(Number(part));
  }, app.graph);
}

/** Of a node that is not run again the page hears nothing, but the history holds what it showed. */
async function showCached(promptId, ids) {
  for (let tries = 0; tries < HISTORY_TRIES; tries++) {
    const history = await (await api.fetchApi(`/history/${promptId}`)).json();
    const outputs = history[promptId]?.outputs;
    if (outputs) {
      for (const id of ids) {
        const node = nodeOf(id);
        if (outputs[id] && node && DRESS[node.comfyClass]) node.onExecuted?.(outputs[id]);
      }
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, HISTORY_WAIT));
  }
}

const PAGE_PREVIEWS = ["$$canvas-image-preview", "$$comfy_animation_preview", "video-preview"];
const SETTLED = 300; // milliseconds in which a picture that came last is drawn

/** Have the page choose anew how to show what a node has. */
function forgetShown(node) {
  for (const name of PAGE_PREVIEWS) {
    const place = node.widgets?.findIndex((widget) => widget.name === name) ?? -1;
    if (place >= 0) node.widgets.splice(place, 1)[0].onRemove?.();
  }
  for (const name of ["imgs", "images", "preview", "videoContainer", "previewMediaType"]) node[name] = undefined;
}

const live = new Set(); // ids of nodes that show how far their encode is

/** A live picture would stay in place of the finished video, and with a video there none is shown. */
api.addEventListener("b_preview_with_metadata", ({ detail }) => {
  const id = String(detail.displayNodeId ?? detail.nodeId);
  const node = nodeOf(id);
  if (node?.comfyClass !== "FFmpegEncode" || live.has(id)) return;
  live.add(id);
  delete app.nodeOutputs[id]; // the video of the run before
  forgetShown(node);
});
api.addEventListener("executed", ({ detail }) => {
  const id = String(detail.display_node ?? detail.node);
  const node = live.delete(id) ? nodeOf(id) : null;
  if (!node) return;
  const showResult = () => {
    // The page itself has no other way to drop a live picture before the next one.
    app.extensionManager?._p?._s?.get("nodeOutput")?.setNodePreviewsByExecutionId?.(id, []);
    forgetShown(node);
    tellPictures(node, detail.output ?? {});
    node.setDirtyCanvas(true, true);
  };
  showResult();
  setTimeout(() => node.imgs?.[0]?.src?.startsWith("blob:") && showResult(), SETTLED);
});
for (const end of ["execution_error", "execution_interrupted"]) api.addEventListener(end, () => live.clear());

const cached = new Map(); // by run: ids of nodes whose results were there
api.addEventListener("execution_cached", ({ detail }) => cached.set(detail.prompt_id, detail.nodes));
api.addEventListener("execution_success", ({ detail }) => {
  const ids = cached.get(detail.prompt_id) ?? [];
  cached.delete(detail.prompt_id);
  if (ids.length) showCached(detail.prompt_id, ids);
});

const SENTENCE = /^\S+ - (.*)$/s; // behind the input's name
const TOLD = 700; // milliseconds in which the page shows what it shows of a refusal

/** How far into a sentence an input is named, as "audio codec" or audio_codec. */
function namedAt(input, sentence) {
  const at = sentence.replaceAll("_", " ").search(new RegExp(`(?<![^\\s(])${input.replaceAll("_", " ")}(?![^\\s),.:])`));
  return at < 0 ? Infinity : at;
}

/** The server says one sentence of each input that a node checks: keep it at the one that it names first. */
function sayOnce(nodeErrors) {
  for (const found of Object.values(nodeErrors ?? {})) {
    if (!DRESS[found.class_type] || !Array.isArray(found.errors)) continue;
    const kept = new Map();
    for (const error of found.errors) {
      const sentence = SENTENCE.exec(error.details ?? "")?.[1];
      const own = error.type === "custom_validation_failed" && sentence;
      const place = own ? namedAt(error.extra_info?.input_name ?? "", sentence) : 0;
      const key = own ? sentence : error;
      if (!kept.has(key) || place < kept.get(key).place) kept.set(key, { error, place });
    }
    found.errors = [...kept.values()].map(({ error }) => error);
  }
}

/** Why the server refused nodes of ours, one sentence each: [[title, sentence], ...]. */
function refusals(nodeErrors) {
  const told = new Map();
  for (const [id, { class_type, errors }] of Object.entries(nodeErrors ?? {})) {
    if (!DRESS[class_type]) continue;
    for (const { type, details } of errors ?? []) {
      const sentence = SENTENCE.exec(details ?? "")?.[1];
      if (type === "custom_validation_failed" && sentence) told.set(sentence, nodeOf(id)?.title ?? class_type);
    }
  }
  return [...told].map(([sentence, title]) => [title, sentence]);
}

/** Newer pages say only that a value was refused, and why in a panel that has to be opened. */
function tellRefusals(nodeErrors) {
  for (const [summary, detail] of refusals(nodeErrors)) {
    if (document.body.innerText.includes(detail)) continue;
    app.extensionManager.toast.add({ severity: "error", summary, detail, life: 15000 });
  }
}

const queue = api.queuePrompt;
api.queuePrompt = async function (...parts) {
  const tell = (answer) => {
    sayOnce(answer?.node_errors);
    setTimeout(() => tellRefusals(answer?.node_errors), TOLD);
  };
  try {
    const answer = await queue.apply(this, parts);
    tell(answer); // other outputs may run
    return answer;
  } catch (error) {
    tell(error?.response);
    throw error;
  }
};

app.registerExtension({
  name: "AvatarVideo.Comfort",
  init: learnLanguage,
  nodeCreated: (node) => {
    DRESS[node.comfyClass]?.(node);
    if (DRESS[node.comfyClass]) translateChoices(node);
    setTimeout(() => translateBlueprint(node)); // what it is made of is there a moment later
  },
  loadedGraphNode: translateLoaded,
});
