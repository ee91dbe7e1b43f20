// AudioToMel: the bundled samples can be heard.
import { fileUrl, SAMPLES } from "./files.js";
import { after } from "./widgets.js";

/** The page looks for every sound in the input folder; the bundled samples are not there. */
export function findSamples() {
  document.addEventListener("error", ({ target }) => {
    if (!(target instanceof HTMLAudioElement) || !target.src.includes("/view?")) return;
    const asked = new URL(target.src).searchParams;
    if (`${asked.get("subfolder")}/` === SAMPLES) target.src = fileUrl(SAMPLES + asked.get("filename"));
  }, true); // errors do not bubble
}

export function dressAudioToMel(node) {
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
