// What the pages cannot do by themselves: refresh the list, delete, and show times in the reader's zone.
"use strict";

const EVERY = 2000; // milliseconds: soon enough for who waits for a mail, and an unchanged list costs a 304

function localTimes(root) {
  const today = new Date().toDateString();
  for (const time of root.querySelectorAll("time")) {
    const moment = new Date(time.dateTime);
    time.title = moment.toLocaleString();
    time.textContent =
      moment.toDateString() === today
        ? moment.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" })
        : moment.toLocaleDateString([], { day: "numeric", month: "short", year: "numeric" });
  }
}

let etag = "";

async function refresh() {
  const list = document.getElementById("list");
  if (!list || document.hidden) return;
  try {
    const answer = await fetch(list.dataset.refresh, { headers: etag ? { "If-None-Match": etag } : {} });
    document.body.classList.remove("away");
    if (answer.status !== 200) return;
    etag = answer.headers.get("ETag") || "";
    const parsed = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = parsed.getElementById("list");
    localTimes(fresh);
    const focused = document.activeElement && list.contains(document.activeElement) && document.activeElement.href;
    list.replaceWith(fresh);
    if (focused) [...fresh.querySelectorAll("a")].find((a) => a.href === focused)?.focus();
  } catch {
    document.body.classList.add("away"); // the server is being restarted; the next round will tell
  }
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-delete]");
  if (!button) return;
  const all = button.dataset.delete.endsWith("/messages");
  if (all && !confirm("Delete all mails?")) return;
  await fetch(button.dataset.delete, { method: "DELETE" });
  location.assign("/");
});

document.addEventListener("visibilitychange", refresh);
localTimes(document);
setInterval(refresh, EVERY);
