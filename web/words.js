// The page's own words: what our nodes, templates and blueprints say in the page's language.
import { app } from "../../scripts/app.js";

const BLUEPRINTS = ["Portrait speaks", "Dub a video", "Check a video"];
const NUMBER = /\d+(?:\.\d+)?/g;

let translated = {}; // English text -> the text in the page's language

export function t(text) {
  return translated[text] ?? text;
}

/** What the page shows of ours besides the nodes' own labels, which ComfyUI takes from locales. */
export async function learnLanguage() {
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
export function translateLoaded(node) {
  if (isOurNote(node)) node.widgets[0].value = t(node.widgets[0].value);
  else if (node.title in translated && node.graph?.nodes?.some(isOurNote)) node.title = t(node.title);
}

/** A placed blueprint: ComfyUI itself shows its name and slots as they stand in its file. */
export function translateBlueprint(node) {
  const english = node.subgraph?.name;
  if (!BLUEPRINTS.includes(english) || !(english in translated)) return;
  if (node.title === english) node.title = t(english);
  for (const slot of [...(node.inputs ?? []), ...(node.outputs ?? [])]) {
    const label = slot.label ?? slot.name;
    if (!slot.widget && label in translated) slot.label = t(label);
  }
}

/** What a menu offers: the value stays what it is, and is shown behind its translation. */
export function translateChoices(node) {
  for (const { name, options } of node.widgets ?? []) {
    if (!options?.values || !Object.keys(translated).some((key) => key.startsWith(`${name}: `))) continue;
    options.getOptionLabel = (value) => {
      const told = translated[`${name}: ${value}`];
      return told ? `${told}\uff08${value}\uff09` : String(value ?? "");
    };
  }
}

/** A mode and its reasons, as the server says them in English: "puppet: lips found; no blinks". */
export function inWords(text) {
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
