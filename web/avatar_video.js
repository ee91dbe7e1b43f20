// Comfort for the editor: upload and preview of an avatar, faces that can be chosen by a click, lip
// corners that can be dragged, bundled samples that can be heard, and texts shown in the nodes. Every
// node works without it. ComfyUI loads each file of this folder; only this one does anything by itself.
import { app } from "../../scripts/app.js";
import { dressAudioToMel, findSamples } from "./audio_to_mel.js";
import { keepPlayerOutOfPrompts, showLivePictures, tellPictures } from "./finished_video.js";
import { dressLoadAvatar } from "./load_avatar.js";
import { tellWhatIsRefused } from "./refusals.js";
import { showNotes, showTexts, showWhatWasCached } from "./shown_texts.js";
import { after } from "./widgets.js";
import { learnLanguage, translateBlueprint, translateBlueprints, translateChoices, translateLoaded } from "./words.js";

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

const isOurs = (kind) => Object.hasOwn(DRESS, kind);

findSamples();
showLivePictures();
showWhatWasCached(isOurs);
tellWhatIsRefused(isOurs);

app.registerExtension({
  name: "AvatarVideo.Comfort",
  init: learnLanguage,
  setup: () => void translateBlueprints(),
  nodeCreated: (node) => {
    DRESS[node.comfyClass]?.(node);
    if (DRESS[node.comfyClass]) translateChoices(node);
    setTimeout(() => translateBlueprint(node)); // what it is made of is there a moment later
  },
  loadedGraphNode: translateLoaded,
});
