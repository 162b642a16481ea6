/* A long cell shows its first lines, and all of them at a click; a long table says that more rows stand below.
   Without this script all lines are shown, and tables scroll. */
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  const LONG = 26; // lines; the style sheet shows 18 of them
  document.querySelectorAll("div.cell > div.cell_input").forEach((cell) => {
    const code = cell.querySelector("div.highlight pre");
    const lines = code ? code.textContent.trimEnd().split("\n").length : 0;
    if (lines <= LONG) return;
    const button = document.createElement("button");
    const say = (open) => {
      cell.classList.toggle("open", open);
      button.setAttribute("aria-expanded", String(open));
      button.textContent = open ? "Show the first lines only" : `Show all ${lines} lines`;
    };
    button.type = "button";
    button.className = "more";
    button.addEventListener("click", () => say(!cell.classList.contains("open")));
    cell.classList.add("long");
    say(false);
    cell.append(button);
  });

  document.querySelectorAll("div.cell_output div.text_html:has(table.dataframe)").forEach((box) => {
    const look = () => box.classList.toggle("more", box.scrollHeight - box.clientHeight - box.scrollTop > 8);
    box.addEventListener("scroll", look, { passive: true });
    new ResizeObserver(look).observe(box); // also once at the start
  });
});
