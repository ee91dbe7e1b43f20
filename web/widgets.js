// Widgets of our own on the page's nodes, in both of its renderers.
import { app } from "../../scripts/app.js";

/** Call ours after whatever the widget or node already does there. */
export function after(target, name, ours) {
  const before = target[name];
  target[name] = function (...parts) {
    const answer = before?.apply(this, parts);
    ours.apply(this, parts);
    return answer;
  };
}

export function addElement(node, name, element, height) {
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
export function unsaved(widget) {
  widget.serialize = false;
}

/** The page's node of an id as "3", or "10:3" inside the sub-graph of node 10. */
export function nodeOf(id) {
  return String(id).split(":").reduce((inside, part) => {
    const graph = inside?.subgraph ?? inside;
    return graph?.getNodeById?.(Number(part));
  }, app.graph);
}

/** Have an undo come back to before what was just done, also where no click of the page's did it. */
export function remember() {
  const tracker = app.extensionManager?.workflow?.activeWorkflow?.changeTracker;
  (tracker?.captureCanvasState ?? tracker?.checkState)?.call(tracker);
}
