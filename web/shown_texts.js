// Texts and pictures in the nodes: what a run says, also where its results were there already.
import { api } from "../../scripts/api.js";
import { inWords, t } from "./words.js";
import { addElement, after, nodeOf } from "./widgets.js";

const HISTORY_TRIES = 10; // a run's history is written a moment after its end
const HISTORY_WAIT = 200; // milliseconds

function textBox(node, wrap) {
  const box = document.createElement("textarea");
  box.readOnly = true;
  box.style.cssText = `box-sizing:border-box;width:100%;height:100%;resize:none;font:11px monospace;white-space:${wrap}`;
  addElement(node, "shown_text", box, 60).label = t("result");
  return box;
}

export function showTexts(node, wrap) {
  const box = textBox(node, wrap);
  after(node, "onExecuted", (message) => {
    box.value = (message.text ?? []).map(inWords).join("\n");
  });
}

/** A node that seldom has something to say gets its box with the first words. */
export function showNotes(node) {
  let box = null;
  after(node, "onExecuted", (message) => {
    if (!box && message.text?.length) box = textBox(node, "pre-wrap");
    if (box) box.value = (message.text ?? []).map(inWords).join("\n");
  });
}

/** Of a node that is not run again the page hears nothing, but the history holds what it showed. */
async function showCached(promptId, ids, isOurs) {
  for (let tries = 0; tries < HISTORY_TRIES; tries++) {
    const history = await (await api.fetchApi(`/history/${promptId}`)).json();
    const outputs = history[promptId]?.outputs;
    if (outputs) {
      for (const id of ids) {
        const node = nodeOf(id);
        if (outputs[id] && isOurs(node?.comfyClass)) node.onExecuted?.(outputs[id]);
      }
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, HISTORY_WAIT));
  }
}

/** isOurs: says of a class of nodes whether it is one of this pack. */
export function showWhatWasCached(isOurs) {
  const cached = new Map(); // by run: ids of nodes whose results were there
  api.addEventListener("execution_cached", ({ detail }) => cached.set(detail.prompt_id, detail.nodes));
  api.addEventListener("execution_success", ({ detail }) => {
    const ids = cached.get(detail.prompt_id) ?? [];
    cached.delete(detail.prompt_id);
    if (ids.length) showCached(detail.prompt_id, ids, isOurs);
  });
}
