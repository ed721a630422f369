// Turns the pages of prepared HTML: the kernel is not asked.
function render({ model, el }) {
  const page = el.appendChild(document.createElement("div"));
  page.className = "kdkit-page";
  page.setAttribute("aria-live", "polite");
  const draw = () => (page.innerHTML = model.get("pages")[model.get("page")]);
  model.on("change:page", draw);
  draw();
  return () => model.off("change:page", draw);
}

export default { render };
