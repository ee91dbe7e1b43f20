// LoadAvatar: upload, and the preview on which faces are clicked and lip corners dragged.
import { AvatarPreview } from "./avatar_preview.js";
import { readPoint } from "./face_frames.js";
import { chooseFile, upload } from "./files.js";
import { addElement, after, remember, unsaved } from "./widgets.js";
import { t } from "./words.js";

const PREVIEW_HEIGHT = 240;
const MOUTH_REACH = 1.5; // mouth widths from a mouth to a point of its face
const INPUT = 1; // LiteGraph's number of that side of a node

const facesOf = new Map(); // by file: the boxes that the last run found, which an undo does not forget

function readCorners(text) {
  const numbers = text.split(/[,;\s]+/).filter(Boolean).map(Number);
  return numbers.length === 4 && numbers.every(Number.isFinite) ? numbers : null;
}

/** Whether lip corners are those of the face at a point; without corners there is nothing against it. */
function isMouthAt(corners, [x, y]) {
  if (!corners) return true;
  const [x0, y0, x1, y1] = corners;
  const away = Math.hypot((x0 + x1) / 2 - x, (y0 + y1) / 2 - y);
  return away <= MOUTH_REACH * Math.hypot(x1 - x0, y1 - y0);
}

/** Where the page's file and text widgets, our preview and our button meet. */
export function dressLoadAvatar(node) {
  const [file, mouth, index, faceAt] = ["avatar", "mouth", "face_index", "face_at"].map((name) =>
    node.widgets.find((widget) => widget.name === name));
  const set = (widget, value) => {
    widget.value = value;
    widget.callback?.(value);
    node.setDirtyCanvas(true, true);
  };
  const preview = new AvatarPreview(
    (corners) => {
      set(mouth, corners);
      remember();
    },
    (point) => {
      if (point === faceAt.value) return;
      if (point && !isMouthAt(readCorners(mouth.value), readPoint(point))) set(mouth, "");
      set(faceAt, point);
      remember();
    },
  );
  let shown = null;
  const isLinked = () => node.inputs?.some((input) => input.name === "path" && input.link != null);
  const readWidgets = () => {
    preview.corners = readCorners(mouth.value);
    preview.sure = true;
    preview.chosen = { point: readPoint(faceAt.value), index: index.value };
    preview.draw();
  };
  const refresh = () => {
    shown = file.value ?? "";
    preview.faces = facesOf.get(shown) ?? [];
    if (isLinked()) preview.say(t("The linked path says which file is used."));
    else preview.show(shown);
    readWidgets();
  };
  const take = async (chosen) => {
    const name = chosen && (await upload(chosen));
    if (!name) return;
    facesOf.delete(name);
    if (!file.options.values.includes(name)) file.options.values.push(name);
    set(file, name);
  };
  after(file, "callback", () => {
    if (shown !== null && shown !== file.value) mouth.value = faceAt.value = ""; // of another picture
    refresh();
  });
  for (const widget of [mouth, index, faceAt]) after(widget, "callback", readWidgets);
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
    if (isLinked()) return;
    preview.faces = message.avatar_faces ?? [];
    facesOf.set(shown, preview.faces);
    if (mouth.value.trim()) preview.draw();
    else preview.place(message.avatar_lips?.[0] ?? null);
  });
  refresh();
}
