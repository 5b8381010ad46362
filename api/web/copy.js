for (const [number, figure] of navigator.clipboard ? document.querySelectorAll("figure").entries() : []) {
  const button = figure.querySelector("button");
  figure.querySelector("figcaption").id = "what-" + number;
  button.setAttribute("aria-describedby", "what-" + number);
  button.setAttribute("aria-live", "polite");
  button.hidden = false;
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(figure.querySelector("code").textContent);
      button.textContent = "Copied";
    } catch {
      button.textContent = "Not copied: select the text instead";
    }
    setTimeout(() => (button.textContent = "Copy"), 2000);
  });
}
