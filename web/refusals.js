// Why the server refused a run: each sentence once, at the input that matters, and where it is seen.
import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";
import { inWords } from "./words.js";
import { nodeOf } from "./widgets.js";

const SENTENCE = /^\S+ - (.*)$/s; // behind the input's name
const TOLD = 700; // milliseconds in which the page shows what it shows of a refusal

/** How far into a sentence an input is named, as "audio codec" or audio_codec. */
function namedAt(input, sentence) {
  const at = sentence.replaceAll("_", " ").search(new RegExp(`(?<![^\\s(])${input.replaceAll("_", " ")}(?![^\\s),.:])`));
  return at < 0 ? Infinity : at;
}

function inPageWords(details) {
  return details.replace(SENTENCE, (whole, sentence) => whole.replace(sentence, () => inWords(sentence)));
}

/** The server says one sentence of each input that a node checks: keep it at the one that it names first. */
function sayOnce(nodeErrors, isOurs) {
  for (const found of Object.values(nodeErrors ?? {})) {
    if (!isOurs(found.class_type) || !Array.isArray(found.errors)) continue;
    const kept = new Map();
    for (const error of found.errors) {
      const sentence = SENTENCE.exec(error.details ?? "")?.[1];
      const own = error.type === "custom_validation_failed" && sentence;
      const place = own ? namedAt(error.extra_info?.input_name ?? "", sentence) : 0;
      const key = own ? sentence : error;
      if (!kept.has(key) || place < kept.get(key).place) kept.set(key, { error, place });
    }
    found.errors = [...kept.values()].map(({ error }) => error);
    for (const error of found.errors) {
      if (error.type === "custom_validation_failed") error.details = inPageWords(error.details ?? "");
    }
  }
}

/** Why the server refused nodes of ours, one sentence each: [[title, sentence], ...]. */
function refusals(nodeErrors, isOurs) {
  const told = new Map();
  for (const [id, { class_type, errors }] of Object.entries(nodeErrors ?? {})) {
    if (!isOurs(class_type)) continue;
    for (const { type, details } of errors ?? []) {
      const sentence = SENTENCE.exec(details ?? "")?.[1];
      if (type === "custom_validation_failed" && sentence) told.set(sentence, nodeOf(id)?.title ?? class_type);
    }
  }
  return [...told].map(([sentence, title]) => [title, sentence]);
}

/** Newer pages say only that a value was refused, and why in a panel that has to be opened. */
function tellRefusals(nodeErrors, isOurs) {
  for (const [summary, detail] of refusals(nodeErrors, isOurs)) {
    if (document.body.innerText.includes(detail)) continue;
    app.extensionManager.toast.add({ severity: "error", summary, detail, life: 15000 });
  }
}

/** isOurs: says of a class of nodes whether it is one of this pack. */
export function tellWhatIsRefused(isOurs) {
  const queue = api.queuePrompt;
  api.queuePrompt = async function (...parts) {
    const tell = (answer) => {
      sayOnce(answer?.node_errors, isOurs);
      setTimeout(() => tellRefusals(answer?.node_errors, isOurs), TOLD);
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
}
