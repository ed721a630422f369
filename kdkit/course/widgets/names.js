// Names for the sliders of the panel that this stands in: ipywidgets gives them none, and lets them speak the number
// of a stop instead of its label. Nothing of it is to be seen.
function render({ model, el }) {
  el.style.display = "none";
  const name = () =>
    requestAnimationFrame(() => {
      const handles = el.closest(".widget-vbox")?.querySelectorAll(".noUi-handle") ?? [];
      handles.forEach((handle, number) => {
        handle.setAttribute("aria-label", model.get("names")[number]);
        handle.setAttribute("aria-valuetext", model.get("texts")[number]);
        handle.setAttribute("data-lm-suppress-shortcuts", "true"); // or Notebook 7 takes the arrow keys
      });
    });
  model.on("change:texts", name);
  name();
  return () => model.off("change:texts", name);
}

export default { render };
