// What every page uses: copying, relative times, regions that keep themselves current, JSON fields.
// Text only ever enters the page through textContent.

const UNITS = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];

export function ago(then, now = Date.now()) {
  const seconds = (now - then) / 1000;
  const span = Math.abs(seconds);
  if (span < 5) return "just now";
  for (const [unit, length] of UNITS) {
    const number = Math.floor(span / length);
    if (number) {
      const words = `${number} ${unit}${number === 1 ? "" : "s"}`;
      return seconds > 0 ? `${words} ago` : `in ${words}`;
    }
  }
  return "just now";
}

export function timeElement(iso) {
  const element = document.createElement("time");
  element.dateTime = iso;
  element.title = iso.replace("T", " ").replace(/\.\d+Z$/, " UTC");
  element.textContent = ago(Date.parse(iso));
  return element;
}

function tickTimes() {
  for (const element of document.querySelectorAll("time[title]")) {
    const then = Date.parse(element.dateTime);
    if (!Number.isNaN(then)) element.textContent = ago(then);
  }
}
setInterval(tickTimes, 10000);

// On a narrow screen the navigation scrolls: show where one is.
document.querySelector(".side [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });

// --- copy

document.addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-copy]");
  if (!button) return;
  event.preventDefault();
  const label = button.getAttribute("aria-label");
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
    button.classList.add("done");
    button.setAttribute("aria-label", "Copied");
  } catch {
    button.setAttribute("aria-label", "The browser did not allow copying");
  }
  button.title = button.getAttribute("aria-label");
  setTimeout(() => {
    button.classList.remove("done");
    button.setAttribute("aria-label", label);
    button.title = label;
  }, 1500);
});

// --- a region that is asked for again: the same page, of which only the region is taken

const region = document.getElementById("live");
let asking = false;

async function refresh() {
  const present = document.getElementById("live");
  // Whoever is selecting or typing in it is not disturbed.
  if (asking || document.hidden || !present || present.contains(document.activeElement) && document.activeElement !== document.body) return;
  if (!getSelection().isCollapsed && present.contains(getSelection().anchorNode)) return;
  asking = true;
  try {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" }, redirect: "manual" });
    if (answer.ok) {
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const fresh = page.getElementById("live");
      if (fresh) {
        for (const details of present.querySelectorAll("details[id]")) {
          const same = fresh.querySelector(`#${CSS.escape(details.id)}`);
          if (same) same.open = details.open;
        }
        present.replaceWith(document.adoptNode(fresh));
      }
    }
  } catch {
    // The server is away; the next round asks again.
  } finally {
    asking = false;
  }
}

if (region) {
  const seconds = Number(region.dataset.refresh);
  if (seconds > 0) setInterval(refresh, seconds * 1000);
  if (region.dataset.events) follow(region.dataset.events);
}

// --- connection states of the listed devices

export function showConnection({ device, state, active }) {
  for (const pill of document.querySelectorAll("[data-state]")) {
    if (pill.dataset.state !== device) continue;
    pill.textContent = state;
    pill.classList.toggle("ok", state === "Connected");
    pill.classList.toggle("idle", state !== "Connected");
  }
  if (!active) return;
  for (const place of document.querySelectorAll("[data-active]")) {
    if (place.dataset.active === device) place.replaceChildren(timeElement(active));
  }
}

function follow(address) {
  const mark = document.getElementById("livemark");
  const source = new EventSource(address);
  source.addEventListener("open", () => { mark.hidden = false; });
  source.addEventListener("error", () => { mark.hidden = true; });
  source.addEventListener("connection", (event) => showConnection(JSON.parse(event.data)));
}

// --- JSON fields say what is wrong while one types

for (const area of document.querySelectorAll("textarea[data-json]")) {
  const verdict = document.createElement("p");
  verdict.className = "field-error";
  verdict.id = `${area.id}-live`;
  verdict.setAttribute("aria-live", "polite");
  area.after(verdict);
  area.addEventListener("input", () => {
    document.getElementById(`${area.id}-error`)?.remove();
    const problem = area.value.trim() ? problemOf(area.value) : "";
    verdict.textContent = problem;
    area.toggleAttribute("aria-invalid", Boolean(problem));
    if (problem) area.setAttribute("aria-invalid", "true");
  });
}

function problemOf(text) {
  try {
    const value = JSON.parse(text);
    return value !== null && typeof value === "object" && !Array.isArray(value) ? "" : "This is JSON, but no object.";
  } catch (error) {
    return `Not JSON yet: ${error.message}`;
  }
}
