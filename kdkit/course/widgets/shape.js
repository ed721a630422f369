// Shows the page that was prepared for a depth and a width: the kernel is not asked.
function render({ model, el }) {
  const page = el.appendChild(document.createElement("div"));
  page.className = "kdkit-page";
  page.setAttribute("aria-live", "polite");
  const draw = () => (page.innerHTML = model.get("pages")[model.get("depth")][model.get("width")]);
  model.on("change", draw);
  draw();
  return () => model.off("change", draw);
}

export default { render };
