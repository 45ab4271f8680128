// Everything works without this script. It refreshes what is live, asks before what is dangerous, and spares a click.
"use strict";

// Parts marked data-refresh="seconds" are read again from the page's own address and replaced, unless somebody is
// using them: a form is open or has the focus.
const parts = () => [...document.querySelectorAll("[data-refresh][id]")];
const busy = (el) => el.contains(document.activeElement) && document.activeElement !== document.body || el.querySelector("details.act[open]");
const due = new Map();
let reading = false;

async function refresh() {
  if (document.hidden || reading) return;
  const now = Date.now();
  const wanted = parts().filter((el) => now >= (due.get(el.id) ?? now + el.dataset.refresh * 1000 - 1) && !busy(el));
  for (const el of parts()) if (!due.has(el.id)) due.set(el.id, now + el.dataset.refresh * 1000);
  if (wanted.length === 0) return;
  reading = true;
  try {
    const answer = await fetch(location.href, { headers: { "X-Refresh": "1" }, redirect: "error" });
    if (answer.ok) {
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      for (const el of wanted) {
        const other = fresh.getElementById(el.id);
        if (other && !busy(el) && other.outerHTML !== el.outerHTML) {
          const x = el.scrollLeft, inner = el.querySelector(".table-wrap"), y = inner ? inner.scrollLeft : 0;
          el.replaceWith(other);
          other.scrollLeft = x;
          const again = other.querySelector(".table-wrap");
          if (again) again.scrollLeft = y;
        }
      }
    }
  } catch {
    // The server is away or has signed us out: what is shown stays, and the next click says so.
  } finally {
    reading = false;
    for (const el of wanted) due.set(el.id, Date.now() + el.dataset.refresh * 1000);
  }
}
setInterval(refresh, 500);

// On a narrow screen the timeline begins around now, not at its oldest end.
for (const el of document.querySelectorAll(".scroll-x")) {
  const now = el.querySelector(".now-line")?.getBoundingClientRect();
  if (now) el.scrollLeft = now.left - el.getBoundingClientRect().left - el.clientWidth * 0.6;
}

// Dangerous forms ask first.
document.addEventListener("submit", (event) => {
  const form = event.target, text = form.dataset.confirmText;
  if (!text || form.dataset.confirmed) return;
  event.preventDefault();
  const dialog = document.createElement("dialog"), p = document.createElement("p"), row = document.createElement("div");
  const no = document.createElement("button"), yes = document.createElement("button");
  p.textContent = text;
  no.textContent = document.body.dataset.cancel;
  yes.textContent = document.body.dataset.confirm;
  yes.className = "danger";
  no.onclick = () => dialog.close();
  yes.onclick = () => { form.dataset.confirmed = "1"; dialog.close(); form.requestSubmit(event.submitter ?? undefined); };
  dialog.onclose = () => dialog.remove();
  row.append(no, yes);
  dialog.append(p, row);
  document.body.append(dialog);
  dialog.showModal();
  no.focus();
});

// One act is open at a time; Escape or a click elsewhere closes it.
document.addEventListener("toggle", (event) => {
  if (!event.target.matches?.("details.act") || !event.target.open) return;
  for (const other of document.querySelectorAll("details.act[open]")) if (other !== event.target) other.open = false;
  event.target.querySelector("input:not([type=hidden]), select")?.focus();
}, true);
document.addEventListener("click", (event) => {
  for (const open of document.querySelectorAll("details.act[open]")) if (!open.contains(event.target)) open.open = false;
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") for (const open of document.querySelectorAll("details.act[open]")) open.open = false;
  if (event.key === "/" && !event.target.matches("input, textarea, select")) {
    event.preventDefault();
    document.querySelector("[data-hotkey='/']")?.focus();
  }
});
document.addEventListener("change", (event) => { if (event.target.matches("[data-submit]")) event.target.form.requestSubmit(); });
