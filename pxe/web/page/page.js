// The server sends a row of the table when it is another one. It has escaped what
// is in it; the page's Content-Security-Policy keeps any script from it as well.
"use strict";

const table = document.getElementById("boxes");
const line = document.getElementById("line");

function rowOf(html) {
  const t = document.createElement("template");
  t.innerHTML = "<table>" + html + "</table>";
  return t.content.querySelector("tbody");
}

const events = new EventSource("events");
events.onopen = () => { line.textContent = "live"; };
events.onerror = () => { // CLOSED: it answered, and not with events
  line.textContent = events.readyState === EventSource.CLOSED
    ? "too many pages follow already: close one, and load this one again; what is shown is old"
    : "the server does not answer; what is shown is old";
};

events.addEventListener("box", (e) => {
  const { id, html } = JSON.parse(e.data);
  const fresh = rowOf(html);
  const old = document.getElementById(id);
  if (!old) {
    table.append(fresh);
    return;
  }
  if (old.querySelector("details")?.open) {
    const details = fresh.querySelector("details");
    if (details) details.open = true;
  }
  old.replaceWith(fresh);
});

events.addEventListener("order", (e) => {
  const ids = JSON.parse(e.data);
  for (const row of table.querySelectorAll("tbody")) {
    if (!ids.includes(row.id)) row.remove();
  }
  for (const id of ids) table.append(document.getElementById(id));
});

events.addEventListener("foreign", (e) => {
  document.getElementById("foreign").textContent = JSON.parse(e.data);
});
