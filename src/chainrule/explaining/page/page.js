const rows = JSON.parse(document.getElementById("data").textContent);
const names = ["Design", "Initialize", "Forward", "Cost", "Backward", "Update"];
const details = [...document.querySelectorAll("details.row")];
const now = { step: 0, place: Math.max(0, details.findIndex((one) => one.open)), node: null, timer: null };

function show() {
  for (const button of document.querySelectorAll("nav [data-step]")) {
    button.toggleAttribute("aria-current", Number(button.dataset.step) === now.step);
  }
  for (const section of document.querySelectorAll("section[data-step]")) {
    section.classList.toggle("quiet", now.step > 0 && Number(section.dataset.step) !== now.step);
  }
  details.forEach((one, place) => { one.open = place === now.place; });
  for (const row of document.querySelectorAll("#observations tbody tr")) {
    row.classList.toggle("chosen", Number(row.dataset.place) === now.place);
  }
  for (const node of document.querySelectorAll(".node")) {
    node.querySelector(".value").textContent = rows[now.place].a[node.dataset.layer][node.dataset.place];
  }
  document.querySelector("svg").classList.toggle("some", now.node !== null);
  for (const one of document.querySelectorAll("[data-node]")) {
    one.classList.toggle("chosen", one.dataset.node === now.node);
  }
  const about = now.node === null ? "" : `, node ${now.node}`;
  const step = now.step === 0 ? "All steps" : `Step ${now.step}, ${names[now.step - 1]}`;
  document.getElementById("now").textContent = `${step}; row ${rows[now.place].row}${about}`;
}

function go(change) {
  Object.assign(now, change);
  show();
}

function bring(selector) {
  const found = document.querySelector(selector);
  if (found) found.scrollIntoView({ block: "nearest" });
}

function stepTo(step) {
  go({ step: step < 1 ? 6 : step > 6 ? 1 : step });
  bring(now.step >= 3 && now.step <= 5 ? `details[open] section[data-step="${now.step}"]` : `section[data-step="${now.step}"]`);
}

function rowTo(place) {
  go({ place: (place + rows.length) % rows.length });
}

function play(on) {
  clearInterval(now.timer);
  now.timer = on ? setInterval(() => { if (now.step === 6) rowTo(now.place + 1); stepTo(now.step + 1); }, 2000) : null;
  const button = document.getElementById("play");
  button.setAttribute("aria-pressed", String(on));
  button.textContent = on ? "Pause" : "Play";
}

function choose(node) {
  go({ node: now.node === node ? null : node });
  bring("details[open] li.chosen");
}

document.documentElement.classList.add("scripted");
for (const button of document.querySelectorAll("nav [data-step]")) {
  button.addEventListener("click", () => stepTo(Number(button.dataset.step)));
}
document.getElementById("play").addEventListener("click", () => play(now.timer === null));
for (const node of document.querySelectorAll(".node")) {
  node.addEventListener("click", () => choose(node.dataset.node));
  node.addEventListener("keydown", (event) => {
    if (event.key === "Enter" || event.key === " ") { event.preventDefault(); choose(node.dataset.node); }
  });
}
for (const row of document.querySelectorAll("#observations tbody tr")) {
  row.addEventListener("click", () => rowTo(Number(row.dataset.place)));
}
details.forEach((one, place) => one.querySelector("summary").addEventListener("click", (event) => { event.preventDefault(); rowTo(place); }));
document.addEventListener("keydown", (event) => {
  const moves = { ArrowRight: () => stepTo(now.step + 1), ArrowLeft: () => stepTo(now.step - 1), ArrowDown: () => rowTo(now.place + 1), ArrowUp: () => rowTo(now.place - 1) };
  if (moves[event.key] && !event.altKey && !event.ctrlKey && !event.metaKey && !event.target.closest(".wide")) { event.preventDefault(); moves[event.key](); }
});
show();
