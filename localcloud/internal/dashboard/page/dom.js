// Elements made of text that is never HTML: what the cloud tells is shown as it is.

export const $ = (id) => document.getElementById(id);

function fill(element, properties, children) {
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value" || name === "checked") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(3).filter((c) => c !== undefined && c !== null && c !== false && c !== ""));
  return element;
}

/** h makes an HTML element. Children are elements or texts. */
export const h = (tag, properties, ...children) => fill(document.createElement(tag), properties, children);

/** s makes an SVG element. */
export const s = (tag, properties, ...children) =>
  fill(document.createElementNS("http://www.w3.org/2000/svg", tag), properties, children);

/** replace puts children in the place of those that an element has. */
export const replace = (element, ...children) => {
  element.replaceChildren(...children.flat(3).filter((c) => c !== undefined && c !== null && c !== false && c !== ""));
};

/** say tells a screen reader something that is to be seen elsewhere. */
export const say = (text) => { $("said").textContent = text; };

/** copyButton copies a text. */
export function copyButton(text, what) {
  const button = h("button", { type: "button", class: "copy", "aria-label": `Copy ${what}` }, "Copy");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      button.textContent = "Not allowed";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
  return button;
}
