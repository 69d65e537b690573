// Steps through a story. All numbers and formulas are in `data`, written by Python; the script only fills them in.
export function mount(root, data, start = {}) {
  const one = (selector) => root.querySelector(selector);
  const all = (selector, within = root) => [...within.querySelectorAll(selector)];
  const page = one(".page");
  const items = new Map(all("[data-group]").map((list) => [list.dataset.group, [...list.children]]));
  const first = new Map([...items].map(([group, list]) => [group, list.map((item) => item.cloneNode(true))]));
  const now = { step: 1, frame: data.at, row: data.row, chosen: start.chosen ?? null, whole: start.whole ?? false, timer: null };
  now.step = start.step ?? now.step;
  const frame = () => data.frames[now.frame];
  const row = () => frame().rows[now.row];

  function put(texts, places) {
    texts.forEach((text, i) => { if (places[i]) places[i].textContent = text; });
  }

  function fill(name, texts) {
    put(texts, all(`[data-slots="${name}"]`).flatMap((group) => all(".s", group)));
  }

  function fillFormulas() {
    for (const [group, list] of items) {
      (row().formulas[group] ?? []).forEach((change, i) => {
        const item = list[i];
        if (typeof change !== "string") become(item, parsed(change[0]));
        else {
          if (item.changed) become(item, first.get(group)[i]);
          put(change.split("|"), all("mn, .s", item));
        }
        item.changed = typeof change !== "string";
      });
    }
  }

  function parsed(item) {
    const template = document.createElement("template");
    template.innerHTML = item;
    return template.content.firstElementChild;
  }

  function become(item, other) {
    item.innerHTML = other.innerHTML;
    if (other.dataset.owner === undefined) delete item.dataset.owner;
    else item.dataset.owner = other.dataset.owner;
  }

  function draw(name, edges) {
    const strokes = frame().strokes[name];
    edges.forEach((line, i) => {
      line.setAttribute("stroke-width", strokes[i][0]);
      line.setAttribute("class", `weight ${strokes[i][1] ? "negative" : "positive"}`);
    });
  }

  function fillFrame() {
    const { slots } = frame();
    one("#about").textContent = frame().about;
    for (const name of Object.keys(slots)) fill(name, slots[name]);
    for (const name of Object.keys(frame().strokes)) draw(name, all(`[data-slots="${name}"] line.weight`));
    const rows = all("#observations tbody tr");
    rows.forEach((line, i) => { line.hidden = i >= frame().rows.length; });
    all('[data-slots="raw"] tbody tr').forEach((line, i) => { line.hidden = i >= frame().rows.length; });
    for (const picture of all("div.frame")) picture.hidden = Number(picture.dataset.frame) !== now.frame;
    for (const mark of all(".mark")) mark.classList.toggle("chosen", Number(mark.dataset.frame) === now.frame);
    const menu = one("#row");
    if (menu) menu.replaceChildren(...frame().rows.map((told, i) => new Option(told.row, i)));
    if (one("#epoch")) one("#epoch").value = now.frame;
  }

  function fillRow() {
    fill("values", row().values);
    for (const node of all(".node")) {
      node.setAttribute("aria-label", `${node.querySelector(".name").textContent}, value ${node.querySelector(".value").textContent}`);
    }
    fillFormulas();
    if (one("#row")) one("#row").value = now.row;
    all("#observations tbody tr").forEach((line, i) => line.classList.toggle("chosen", i === now.row));
    for (const dot of all(".dot")) dot.classList.toggle("chosen", Number(dot.dataset.row) === row().row);
  }

  function showStep() {
    for (const button of all("nav [data-step]")) {
      if (Number(button.dataset.step) === now.step && !now.whole) button.setAttribute("aria-current", "step");
      else button.removeAttribute("aria-current");
    }
    for (const section of all("section[data-step]")) section.classList.toggle("current", Number(section.dataset.step) === now.step);
    page.classList.toggle("whole", now.whole);
    one("#all").setAttribute("aria-pressed", String(now.whole));
  }

  function belongs(owner) {
    return owner === now.chosen || owner === `b(${now.chosen})`;
  }

  function showChosen() {
    for (const part of all("[data-of]")) {
      const chosen = part.dataset.of === now.chosen;
      part.classList.toggle("chosen", chosen);
      if (part.getAttribute("role") === "button") part.setAttribute("aria-pressed", String(chosen));
    }
    const panel = one("#chosen");
    panel.hidden = now.chosen === null;
    const found = [...items.values()].flat().filter((item) => belongs(item.dataset.owner));
    panel.querySelector("h2").textContent = now.chosen === null ? "" : `${now.chosen.replace("->", " → ")}, row ${row().row}`;
    const copies = found.map((item) => item.cloneNode(true));
    if (!copies.length && now.chosen !== null) {
      const words = document.createElement("li");
      words.textContent = "An input: its value comes from the table.";
      copies.push(words);
    }
    panel.querySelector("ul").replaceChildren(...copies);
  }

  function tell() {
    const step = now.whole ? "All steps" : `Step ${now.step} of ${data.steps.length}, ${data.steps[now.step - 1]}`;
    const epoch = data.frames.length > 1 ? `; epoch ${frame().epoch}` : "";
    one("#now").textContent = `${step}${epoch}; row ${row().row}`;
  }

  function go(change) {
    const before = { ...now };
    Object.assign(now, change);
    if (change.frame !== undefined) {
      const same = frame().rows.findIndex((told) => told.row === data.frames[before.frame].rows[before.row].row);
      now.row = change.row ?? Math.max(0, same);
      fillFrame();
    }
    if (change.frame !== undefined || change.row !== undefined) fillRow();
    showStep();
    showChosen();
    tell();
  }

  // Steps and epochs form one sequence, from the first step of the first epoch; after its end it starts again.
  function move(by) {
    const steps = data.steps.length;
    const length = steps * data.frames.length;
    const place = now.frame * steps + now.step - 1 + by;
    if (place < 0) return;
    if (place >= length) play(false);
    const there = place % length;
    const change = { step: (there % steps) + 1, whole: false };
    const to = Math.floor(there / steps);
    go(to === now.frame ? change : { ...change, frame: to });
  }

  const next = () => move(1);
  const previous = () => move(-1);

  function play(on) {
    clearInterval(now.timer);
    now.timer = on ? setInterval(next, 2500) : null;
    one("#play").setAttribute("aria-pressed", String(on));
    one("#play").textContent = on ? "Pause" : "Play";
  }

  function choose(name) {
    go({ chosen: name });
  }

  function focus(part) {
    if (!part) return;
    for (const other of all(".node, .edge")) other.tabIndex = -1;
    part.tabIndex = 0;
    part.focus();
    choose(part.dataset.of);
  }

  function along(part, key) {
    const node = part.classList.contains("node");
    const layer = Number(part.dataset.layer);
    const [from, to] = part.dataset.of.split("->");
    const named = (name) => all(".node").find((other) => other.dataset.of === name);
    if (key === "ArrowRight") return node ? all(".edge").find((edge) => edge.dataset.of.startsWith(`${from}->`)) : named(to);
    if (key === "ArrowLeft") return node ? all(".edge").find((edge) => edge.dataset.of.endsWith(`->${from}`)) : named(from);
    const column = all(node ? ".node" : ".edge").filter((other) => Number(other.dataset.layer) === layer);
    return column[column.indexOf(part) + (key === "ArrowDown" ? 1 : -1)];
  }

  function light(name) {
    for (const part of all("[data-of]")) part.classList.toggle("lit", part.dataset.of === name);
  }

  page.classList.add("scripted");
  for (const button of all("nav [data-step]")) {
    button.addEventListener("click", () => go({ step: Number(button.dataset.step), whole: false }));
  }
  one("#all").addEventListener("click", () => go({ whole: !now.whole }));
  one("#next").addEventListener("click", next);
  one("#back").addEventListener("click", previous);
  one("#play").addEventListener("click", () => play(now.timer === null));
  one("#epoch")?.addEventListener("change", (event) => go({ frame: Number(event.target.value) }));
  one("#row")?.addEventListener("change", (event) => go({ row: Number(event.target.value) }));
  page.addEventListener("click", (event) => {
    const mark = event.target.closest(".mark");
    const line = event.target.closest("#observations tbody tr");
    const of = event.target.closest("[data-of]");
    const owner = event.target.closest("[data-owner]");
    if (mark) go({ frame: Number(mark.dataset.frame) });
    else if (line) go({ row: Number(line.dataset.place) });
    else if (of?.matches(".node, .edge")) focus(of);
    else if (of) choose(of.dataset.of.replace(/^b\((.*)\)$/, "$1"));
    else if (owner) choose(owner.dataset.owner.replace(/^b\((.*)\)$/, "$1"));
  });
  page.addEventListener("pointerover", (event) => light(event.target.closest("[data-of]")?.dataset.of ?? null));
  page.addEventListener("keydown", (event) => {
    const part = event.target.closest(".node, .edge");
    if (part && event.key.startsWith("Arrow")) {
      event.preventDefault();
      event.stopPropagation();
      focus(along(part, event.key));
    } else if (part && (event.key === "Enter" || event.key === " ")) {
      event.preventDefault();
      choose(now.chosen === part.dataset.of ? null : part.dataset.of);
    } else if (event.key === "Escape") choose(null);
  });
  (root === document ? document : page).addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey || event.target.closest?.(".wide, select")) return;
    if (event.key === "ArrowRight") { event.preventDefault(); next(); }
    if (event.key === "ArrowLeft") { event.preventDefault(); previous(); }
  });
  const kept = frame().rows.findIndex((told) => told.row === start.number);
  go({ frame: now.frame, row: kept < 0 ? now.row : kept });
  if (start.playing) play(true);
  return { here: () => ({ step: now.step, chosen: now.chosen, whole: now.whole, number: row().row, playing: now.timer !== null }), stop: () => clearInterval(now.timer) };
}
