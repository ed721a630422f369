// Turns the pages of prepared HTML: the kernel is not asked.
function render({ model, el }) {
  const page = el.appendChild(document.createElement("div"));
  page.style.background = "white";
  page.setAttribute("aria-live", "polite");
  const draw = () => {
    const number = model.get("page");
    page.innerHTML = model.get("pages")[number];
    // ipywidgets gives its slider no name, and lets it speak the number of a stop instead of its label.
    requestAnimationFrame(() => {
      const handle = el.closest(".widget-vbox")?.querySelector(".noUi-handle");
      handle?.setAttribute("aria-label", model.get("slider_name"));
      handle?.setAttribute("data-lm-suppress-shortcuts", "true"); // or Notebook 7 takes the arrow keys
      handle?.setAttribute("aria-valuetext", model.get("labels")[number]);
    });
  };
  model.on("change:page", draw);
  draw();
  return () => model.off("change:page", draw);
}

export default { render };
