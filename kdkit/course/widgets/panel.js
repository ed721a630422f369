// What all panels have in the browser: letters and knobs that can be seen, sentences that keep their room, and names for
// sliders. ipywidgets gives these none, and lets them speak the number of a stop instead of its label.

const STYLE = `
.kdkit-panel {
  --jp-widgets-font-size: max(15px, var(--jp-content-font-size1, 15px));
  --jp-widgets-inline-height: calc(2 * var(--jp-widgets-font-size));
  font-size: var(--jp-widgets-font-size);
}
/* twice, to count for more than the rules of ipywidgets */
.kdkit-panel.kdkit-panel .widget-slider :is(.noUi-handle, .noUi-handle:hover, .noUi-handle:focus) {
  background: currentColor;
  border-color: currentColor;
}
.kdkit-panel .noUi-handle:focus { outline: 3px solid #1e88e5; outline-offset: 2px; }
.kdkit-panel.kdkit-panel .widget-slider :is(.noUi-target, .noUi-connects) {
  background: #858585;
  border-color: #858585;
}
.kdkit-page { background: white; color: black; padding: 4px 8px; }
.kdkit-page img { width: 100%; }
.kdkit-steady { display: grid; }
.kdkit-steady > *, .kdkit-steady::after { grid-area: 1 / 1; margin: 4px 0; }
.kdkit-steady::after { content: attr(data-longest); visibility: hidden; }
`;

function name(handle) {
  const slider = handle.closest(".widget-inline-hbox");
  handle.setAttribute("aria-label", slider?.querySelector(".widget-label")?.textContent ?? "");
  handle.setAttribute("aria-valuetext", slider?.querySelector(".widget-readout")?.textContent ?? "");
  handle.setAttribute("data-lm-suppress-shortcuts", "true"); // or Notebook 7 takes the arrow keys
}

function render({ el }) {
  el.style.display = "none";
  el.appendChild(document.createElement("style")).textContent = STYLE;
  let frame;
  const observer = new MutationObserver(() => nameAll());
  const nameAll = () => {
    cancelAnimationFrame(frame);
    frame = requestAnimationFrame(() => el.closest(".kdkit-panel").querySelectorAll(".noUi-handle").forEach(name));
  };
  const begin = () => {
    const panel = el.closest(".kdkit-panel");
    if (!panel) return void (frame = requestAnimationFrame(begin)); // not on the page yet
    observer.observe(panel, { childList: true, characterData: true, subtree: true });
    nameAll();
  };
  begin();
  return () => {
    cancelAnimationFrame(frame);
    observer.disconnect();
  };
}

export default { render };
