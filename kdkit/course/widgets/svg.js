// What the views have in common that draw lines and bars for a slider's stop, with a sentence below: no kernel is asked.

const SVG = "http://www.w3.org/2000/svg";

function add(parent, name, attributes = {}, text) {
  const element = parent.appendChild(document.createElementNS(SVG, name));
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

// Empty the drawing; it is `width` by `height`, and its letters are `em` high.
function begin(svg, width, height, em) {
  svg.replaceChildren();
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.setAttribute("font-size", em);
}

// The `render` of such a view. `draw(svg, model, width, em)` draws what the model says and gives the sentence; the
// drawing is at least `least` letters wide, and `label` is what it is called.
function drawn({ name, least, label, draw }) {
  return ({ model, el }) => {
    const root = el.appendChild(document.createElement("div"));
    root.className = name;
    root.style.cssText = "background:white;color:black;padding:4px 8px;font-family:sans-serif;font-size:max(15px, 1em)";
    const svg = add(root, "svg", { role: "img", "aria-label": label, style: "display:block;width:100%" });
    const room = root.appendChild(document.createElement("div"));
    room.className = "kdkit-steady";
    room.setAttribute("data-longest", model.get("longest"));
    const words = room.appendChild(document.createElement("p"));
    words.setAttribute("aria-live", "polite");
    const update = () => {
      if (!root.isConnected) return; // it has no width yet, and letters no height
      try {
        const em = parseFloat(getComputedStyle(root).fontSize);
        words.textContent = draw(svg, model, Math.max(least * em, root.clientWidth - 16), em);
        words.removeAttribute("role");
      } catch (error) {
        words.textContent = `This drawing failed: ${error.message}`;
        words.setAttribute("role", "alert");
      }
    };
    model.on("change", update);
    let width = -1;
    const resized = new ResizeObserver(() => width !== root.clientWidth && ((width = root.clientWidth), update()));
    resized.observe(root);
    update();
    return () => {
      resized.disconnect();
      model.off("change", update);
    };
  };
}
