// FFmpegEncode: the finished file in its node, and how far it is while it is made.
import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";
import { nodeOf } from "./widgets.js";

const PAGE_PREVIEWS = ["$$canvas-image-preview", "$$comfy_animation_preview", "video-preview"];
const SETTLED = 300; // milliseconds in which a picture that came last is drawn

/** The page takes an animated picture for a video, which it cannot play. */
export function tellPictures(node, message) {
  const isPicture = (message.images ?? []).some((one) => /\.(gif|webp)$/i.test(one.filename));
  node.previewMediaType = isPicture ? "image" : undefined;
}

/**
 * The page sends the player that it adds for a finished video as an input of the next run, which is
 * then another prompt: the same video would be encoded again.
 */
export function keepPlayerOutOfPrompts(node) {
  const add = node.addDOMWidget;
  node.addDOMWidget = function (...parts) {
    const widget = add.apply(this, parts);
    widget.options.serialize = false;
    return widget;
  };
}

/** Have the page choose anew how to show what a node has. */
function forgetShown(node) {
  for (const name of PAGE_PREVIEWS) {
    const place = node.widgets?.findIndex((widget) => widget.name === name) ?? -1;
    if (place >= 0) node.widgets.splice(place, 1)[0].onRemove?.();
  }
  for (const name of ["imgs", "images", "preview", "videoContainer", "previewMediaType"]) node[name] = undefined;
}

/** A live picture would stay in place of the finished video, and with a video there none is shown. */
export function showLivePictures() {
  const live = new Set(); // ids of nodes that show how far their encode is
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
}
