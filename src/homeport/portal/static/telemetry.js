// Live telemetry of one device. What devices send is hostile: it becomes text nodes, and only so many of them.

import { showConnection, timeElement } from "./portal.js";

const SHOWN = 200;
const list = document.getElementById("messages");
const empty = document.getElementById("no-messages");
const mark = document.getElementById("telemetry-state");
const count = document.getElementById("telemetry-count");
const pause = document.getElementById("telemetry-pause");
const known = new Set();
let waiting = [];
let paused = false;

for (const item of list.children) known.add(item.dataset.id);

function say(text, tone) {
  mark.textContent = text;
  mark.dataset.tone = tone;
}

function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function tag(className, name, value) {
  const made = element("span", className);
  made.append(element("span", "", name), ` ${value}`);
  return made;
}

function show(message) {
  const item = element("li", "new");
  item.dataset.id = message.id;
  const meta = element("div", "meta");
  const time = element("time", "", message.at.slice(11, 23));
  time.dateTime = message.at;
  meta.append(time, element("span", "faint", `${message.size.toLocaleString("en")} B`));
  for (const [name, value] of Object.entries(message.system)) meta.append(tag("tag system", name, value));
  for (const [name, value] of Object.entries(message.properties)) meta.append(tag("tag", name, value));
  meta.append(element("span", "faint place", message.id));
  item.append(meta, element("pre", "", message.body));
  list.prepend(item);
  while (list.children.length > SHOWN) {
    known.delete(list.lastElementChild.dataset.id);
    list.lastElementChild.remove();
  }
  empty.hidden = true;
}

function take(message) {
  if (known.has(message.id)) return;
  known.add(message.id);
  if (count) {
    count.dataset.count = Number(count.dataset.count) + 1;
    count.textContent = Number(count.dataset.count).toLocaleString("en");
  }
  for (const place of document.querySelectorAll("[data-active]")) place.replaceChildren(timeElement(message.at));
  if (!paused) {
    show(message);
    return;
  }
  waiting.push(message);
  if (waiting.length > SHOWN) known.delete(waiting.shift().id);
  pause.textContent = `Resume (${waiting.length})`;
}

pause.hidden = false;
pause.addEventListener("click", () => {
  paused = !paused;
  pause.setAttribute("aria-pressed", String(paused));
  pause.textContent = paused ? "Resume" : "Pause";
  if (!paused) {
    for (const message of waiting) show(message);
    waiting = [];
  }
});

const source = new EventSource(document.getElementById("telemetry").dataset.stream);
say("connecting", "idle");
source.addEventListener("open", () => say("Live", "ok"));
source.addEventListener("error", () => {
  say(source.readyState === EventSource.CLOSED ? "not live: reload the page" : "reconnecting", "bad");
});
source.addEventListener("trouble", (event) => say(JSON.parse(event.data).message, "bad"));
source.addEventListener("connection", (event) => showConnection(JSON.parse(event.data)));
source.addEventListener("telemetry", (event) => take(JSON.parse(event.data)));
