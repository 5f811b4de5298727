// The image of the Score tab: dropped, pasted or chosen; the server takes metadata off, renders DICOM and NIfTI, and keeps nothing.
import { api, fill, h } from "./base.js";

const ACCEPTED = ".png,.jpg,.jpeg,.webp,.bmp,.tif,.tiff,.gif,.dcm,.dicom,.nii,.gz,image/*,application/dicom";

/** {element, value(): data URL or null, set(url)}; `changed` is called when the reader puts or takes away an image. */
export function imagePane(t, changed) {
  let url = null;
  const input = h("input", { type: "file", class: "sr", tabIndex: -1, accept: ACCEPTED, "aria-hidden": "true", onchange: () => take(input.files[0]) });
  const shown = h("div", { class: "shown", hidden: true });
  const drop = h("button", { type: "button", class: "drop", onclick: () => input.click() },
    h("span", { class: "big" }, t("score.image_drop")), h("span", { class: "small quiet" }, t("score.image_kinds")));
  const said = h("p", { class: "small quiet", hidden: true });
  const wrong = h("div", { class: "notice bad small", role: "alert", hidden: true });
  const element = h("div", { class: "image stack tight" }, drop, shown, said, wrong, input);

  function set(next, notes = []) {
    url = next || null;
    drop.hidden = Boolean(url);
    shown.hidden = !url;
    wrong.hidden = true;
    said.textContent = notes.join(" · ");
    said.hidden = !notes.length;
    fill(shown, url && h("img", { src: url, alt: t("score.image_alt") }),
      url && h("div", { class: "over" },
        h("button", { type: "button", onclick: () => input.click() }, t("score.image_replace")),
        h("button", { type: "button", onclick: () => { set(null); changed(); } }, t("score.image_remove"))));
  }

  async function take(file) {
    if (!file) return;
    input.value = "";
    drop.classList.add("waiting");
    try {
      const { found, headers } = await api("POST", "score/api/image", file, { headersToo: true });
      set(await asUrl(found), JSON.parse(headers.get("x-notes") || "[]"));
      changed();
    } catch (error) {
      wrong.textContent = error.status === 0 ? t("common.offline") : error.message;
      wrong.hidden = false;
    }
    drop.classList.remove("waiting");
  }

  element.addEventListener("dragover", (event) => { event.preventDefault(); element.classList.add("over-it"); });
  element.addEventListener("dragleave", () => element.classList.remove("over-it"));
  element.addEventListener("drop", (event) => {
    event.preventDefault();
    element.classList.remove("over-it");
    take(event.dataTransfer.files[0]);
  });
  document.addEventListener("paste", (event) => {
    if (!element.offsetParent) return;
    const file = [...(event.clipboardData?.files ?? [])][0];
    if (file) { event.preventDefault(); take(file); }
  });
  return { element, set, value: () => url };
}

function asUrl(blob) {
  return new Promise((done, failed) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result);
    reader.onerror = () => failed(reader.error);
    reader.readAsDataURL(blob);
  });
}
