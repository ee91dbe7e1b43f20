// The page's own words: what our nodes, templates and blueprints say in the page's language.
import { app } from "../../scripts/app.js";

const BLUEPRINTS = ["Portrait speaks", "Dub a video", "Check a video"];
const NUMBER = /\d+(?:\.\d+)?/g;

const FILLED_IN = /%\d/g; // in sentences: %1, %2 and so on, in the order of the English one
const STORE_TRIES = 40; // the page reads blueprints while it starts
const STORE_WAIT = 250; // milliseconds

let translated = {}; // English text -> the text in the page's language
let sentences = []; // those in which something is filled in: [what matches the English one, the text]

export function t(text) {
  return translated[text] ?? text;
}

/** What the page shows of ours besides the nodes' own labels, which ComfyUI takes from locales. */
export async function learnLanguage() {
  const locale = app.extensionManager?.setting?.get?.("Comfy.Locale") ?? "en";
  if (!/^zh(-CN)?$/.test(locale)) return;
  const answer = await fetch(new URL("words/zh.json", import.meta.url));
  if (answer.ok) translated = await answer.json();
  sentences = Object.entries(translated)
    .filter(([english]) => english.search(FILLED_IN) >= 0)
    .sort(([one], [other]) => other.length - one.length) // the one that says most of a text itself
    .map(([english, text]) => [new RegExp(`^${literally(english).replace(FILLED_IN, "(.*?)")}$`, "s"), text]);
}

function literally(text) {
  return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}

/** One text of the server's, with numbers or other texts filled in; undefined where it is not known. */
function told(text) {
  const numbers = text.match(NUMBER) ?? [];
  const known = translated[text] ?? translated[text.replace(NUMBER, "#")]?.replace(/#/g, () => numbers.shift());
  if (known !== undefined) return known;
  for (const [english, own] of sentences) {
    const filled = english.exec(text);
    if (filled) return own.replace(FILLED_IN, (place) => told(filled[place[1]]) ?? filled[place[1]]);
  }
  return undefined;
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

/** What the page shows of a blueprint that is not placed yet. */
export async function translateBlueprints() {
  if (!Object.keys(translated).length) return;
  // The page hands out no other way to the descriptions in its node library.
  const store = app.extensionManager?._p?._s?.get("subgraph");
  for (let tries = 0; store && tries < STORE_TRIES; tries++) {
    const ours = store.subgraphBlueprints.filter((one) => BLUEPRINTS.includes(one.display_name));
    for (const one of ours) one.description = t(one.description);
    if (ours.length === BLUEPRINTS.length) return;
    await new Promise((resolve) => setTimeout(resolve, STORE_WAIT));
  }
}

/** What the server says in English: a sentence, or a mode and its reasons: "puppet: lips found; no blinks". */
export function inWords(text) {
  if (!Object.keys(translated).length) return text;
  const [, mode, reasons] = text.match(/^(?:(musetalk|puppet|static): )?(.*)$/s);
  const sentence = mode ? undefined : told(text);
  if (sentence !== undefined) return sentence;
  const said = reasons.split("; ").map((reason) => told(reason) ?? reason);
  if (!mode) return said.join("\uff1b");
  const name = translated[`mode: ${mode}`];
  return `${name ? `${name}\uff08${mode}\uff09` : mode}\uff1a${said.join("\uff1b")}`;
}
