// Files of the input folder and the bundled samples: where the page finds them, and uploads.
import { api } from "../../scripts/api.js";
import { app } from "../../scripts/app.js";
import { t } from "./words.js";

export const SAMPLES = "samples/";
const ACCEPTED = "image/*,video/*,.mkv,.avi";

export function fileUrl(name) {
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

export async function upload(file) {
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

export function chooseFile() {
  return new Promise((resolve) => {
    const input = document.createElement("input");
    Object.assign(input, { type: "file", accept: ACCEPTED });
    input.onchange = () => resolve(input.files[0]);
    input.click();
  });
}
