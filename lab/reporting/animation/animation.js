// Draws a run of compass-sim: users, links, machines, and what happens to each query.
// One module without dependencies, for a static page, for Panel (JSComponent) and for anywidget.

const COLOURS = { // of Okabe and Ito, for people with any colour vision
  waiting: "#8a8f98", planned: "#e69f00", loading: "#56b4e9", met: "#009e73", missed: "#d55e00",
};
const LANES = [
  ["waiting", "waiting"], ["planned", "being planned"], ["loading", "models load"],
  ["served", "served"],
];
const WORDS = {
  waiting: "waiting", planned: "being planned", loading: "models load", met: "served, SLO met",
  missed: "served, SLO missed",
};
const RADIUS = 5, HEIGHT = 470, CHART = 78, FLASH_S = 4, NARROW = 620;
const PARTS = ["latency", "accuracy", "cost"];
const within = (spans, t) => spans.some(([from, to]) => from <= t && t < to);

/** Return the state of a query at time t, or null if it is not there. */
export function stateOf(query, t) {
  if (t < query.span[0] || t >= query.span[1]) return null;
  if (within(query.served, t)) {
    const judged = query.judged.find(([end]) => end > t);
    return judged && judged[1] ? "met" : "missed";
  }
  if (within(query.planned, t)) return "planned";
  const ordered = query.orders.filter(([at, outcome]) => at <= t && outcome !== "refused").at(-1);
  return ordered && ordered[1] === "deployed" ? "loading" : "waiting";
}

/** Fill an element with the animation of a scene; return functions to control it. */
export function animate(root, scene, options = {}) {
  root.classList.add("animation");
  root.innerHTML = `
    <p class="counts" role="status"></p>
    <canvas tabindex="0" role="img"></canvas>
    <div class="bar">
      <button type="button" class="play"></button>
      <label>time <input type="range" class="time" min="0" step="1"></label>
      <output></output>
      <label>speed <select class="speed"><option>5</option><option selected>20</option>
        <option>60</option></select></label>
      <label>query <select class="query"><option value="">none</option></select></label>
    </div>
    <div class="about" aria-live="polite"></div>`;
  const find = (what) => root.querySelector(what);
  const canvas = find("canvas"), g = canvas.getContext("2d"), slider = find(".time");
  const queries = scene.queries, places = new Map();
  let t = 0, last = null, playing = false, chosen = null, frame = 0, width = 0;
  slider.max = scene.horizon;
  canvas.setAttribute("aria-label", `What happens to each query: ${scene.title}`);
  for (const query of queries) {
    const option = new Option(query.id, query.id);
    find(".query").add(option);
  }

  function resize() {
    width = Math.max(300, root.clientWidth);
    const ratio = window.devicePixelRatio || 1;
    canvas.width = width * ratio;
    canvas.height = height() * ratio;
    canvas.style.height = `${height()}px`;
    g.setTransform(ratio, 0, 0, ratio, 0, 0);
    request();
  }
  const narrow = () => width < NARROW;
  const height = () => (narrow() ? HEIGHT * 1.6 : HEIGHT);

  // --- Where things are ------------------------------------------------------------------------
  function zones() {
    const top = 8, bottom = height() - CHART - 30, gap = 14;
    const users = narrow()
      ? { x: 0, y: top, w: width, h: (bottom - top) * 0.42 }
      : { x: 0, y: top, w: width * 0.42, h: bottom - top };
    const right = narrow()
      ? { x: 0, y: users.y + users.h + 26, w: width, h: bottom - users.y - users.h - 26 }
      : { x: width * 0.5, y: top, w: width * 0.5, h: bottom - top };
    const tiers = ["edge", "cloud"].filter((one) => scene.machines.some((m) => m.tier === one));
    const of = (tier) => scene.machines.filter((m) => m.tier === tier).length;
    const across = right.w > 420 ? 2 : 1;
    const rows = (tier) => Math.ceil(of(tier) / across);
    const all = tiers.reduce((sum, tier) => sum + rows(tier), 0) || 1;
    let y = right.y;
    const boxes = {};
    for (const tier of tiers) {
      const h = ((right.h - gap * (tiers.length - 1)) * rows(tier)) / all;
      boxes[tier] = { x: right.x, y, w: right.w, h, across, rows: rows(tier) };
      y += h + gap;
    }
    return { users, boxes };
  }

  function machineBoxes(boxes) {
    const seen = {};
    return scene.machines.map((machine) => {
      const zone = boxes[machine.tier], at = (seen[machine.tier] = (seen[machine.tier] ?? -1) + 1);
      const w = (zone.w - 10) / zone.across, h = Math.min(120, (zone.h - 22) / zone.rows);
      return {
        x: zone.x + 5 + w * (at % zone.across), w: w - 6,
        y: zone.y + 20 + h * Math.floor(at / zone.across), h: h - 6,
      };
    });
  }

  function slotBox(slot, boxes) {
    const machine = scene.machines[slot[0]], box = boxes[slot[0]];
    const top = box.y + 18, h = Math.max(8, box.h - 40);
    if (slot[1] < 0) return { x: box.x + 6, y: box.y + box.h - 15, w: box.w - 12, h: 9 };
    const card = (box.w - 12) / machine.gpus, slice = card / machine.slices;
    return {
      x: box.x + 6 + card * slot[1] + slice * slot[2] + 1, y: top, w: slice * slot[3] - 2, h,
    };
  }

  // --- Drawing ---------------------------------------------------------------------------------
  const ink = () => getComputedStyle(root).color;
  function text(words, x, y, size = 12, align = "left", colour = null) {
    g.font = `${size}px system-ui, sans-serif`;
    g.textAlign = align;
    g.fillStyle = colour || ink();
    g.fillText(words, x, y);
  }
  function fitted(words, w, size) {
    g.font = `${size}px system-ui, sans-serif`;
    let kept = words;
    while (kept && g.measureText(kept).width > w) kept = kept.slice(0, -1);
    return kept.length > 2 || kept === words ? kept : "";
  }
  function frameOf(box, words) {
    g.strokeStyle = "#8885";
    g.lineWidth = 1;
    g.strokeRect(box.x + 0.5, box.y + 0.5, box.w - 1, box.h - 1);
    text(words, box.x + 6, box.y + 14, 12);
  }

  function drawMachines(boxes, held) {
    scene.machines.forEach((machine, at) => {
      const box = boxes[at], rental = machine.rented.find(([from, , to]) => from <= t && t < to);
      const booting = rental && t < rental[1];
      g.globalAlpha = rental ? 1 : 0.35;
      g.setLineDash(rental && !booting ? [] : [4, 3]);
      g.strokeStyle = ink();
      g.strokeRect(box.x + 0.5, box.y + 0.5, box.w - 1, box.h - 1);
      g.setLineDash([]);
      const state = rental ? (booting ? "boots" : "") : "off";
      const name = [machine.name, machine.type, machine.gpu && `${machine.gpus} ${machine.gpu}`];
      const words = name.filter(Boolean).join(" · ");
      text(fitted(words, box.w - 46, 11), box.x + 6, box.y + 13, 11);
      text(state, box.x + box.w - 6, box.y + 13, 11, "right");
      for (let card = 0; card < machine.gpus; card++) {
        const whole = slotBox([at, card, 0, machine.slices], boxes);
        g.fillStyle = "#8882";
        g.fillRect(whole.x, whole.y, whole.w, whole.h);
      }
      const cores = new Set();
      const instances = new Map();
      for (const slot of held) {
        if (slot[0] !== at) continue;
        if (slot[1] < 0) cores.add(`${slot[5]} ${slot[6]}`);
        else {
          const key = slot.slice(1, 4).join();
          if (!instances.has(key)) instances.set(key, []);
          instances.get(key).push(slot);
        }
      }
      for (const slots of instances.values()) {
        const one = slotBox(slots[0], boxes), ready = slots.some((slot) => slot[8] <= t);
        const users = new Set(slots.map((slot) => slot[6])).size;
        g.fillStyle = ready ? "#0072b2" : "#56b4e9";
        g.globalAlpha = ready ? Math.min(0.6, 0.3 + 0.05 * users) : 0.35;
        g.fillRect(one.x, one.y, one.w, one.h);
        g.globalAlpha = 1;
        g.strokeStyle = "#0072b2";
        g.strokeRect(one.x + 0.5, one.y + 0.5, one.w - 1, one.h - 1);
        text(fitted(slots[0][4], one.w - 6, 10), one.x + 4, one.y + 12, 10);
        text(fitted(slots[0][5], one.w - 6, 10), one.x + 4, one.y + 24, 10);
        text(fitted(`${users} quer${users > 1 ? "ies" : "y"}`, one.w - 6, 10), one.x + 4,
          one.y + 36, 10);
      }
      const bar = slotBox([at, -1], boxes), used = Math.min(cores.size, machine.cores);
      g.fillStyle = "#8882";
      g.fillRect(bar.x, bar.y, bar.w, bar.h);
      g.fillStyle = "#0072b280"; // so that the words on it can be read
      g.fillRect(bar.x, bar.y, (bar.w * used) / machine.cores, bar.h);
      text(`${used} of ${machine.cores} cores`, bar.x + 3, bar.y + 8, 9);
      g.globalAlpha = 1;
    });
  }

  /** Return the wanted place of each query that is there: a lane for each state. */
  function targets(users, states) {
    const across = Math.max(1, Math.floor((users.w - 16) / (RADIUS * 3)));
    const groups = LANES.map(([lane]) => states.filter(([, state]) =>
      state === lane || (lane === "served" && (state === "met" || state === "missed"))));
    const rows = groups.map((one) => Math.max(1, Math.ceil(one.length / across)));
    const room = users.h - 20, heads = 20 * LANES.length;
    const row = Math.min(RADIUS * 3, (room - heads) / rows.reduce((a, b) => a + b, 0));
    let y = users.y + 20;
    groups.forEach((group, at) => {
      text(`${LANES[at][1]}: ${group.length}`, users.x + 8, y + 12, 11);
      group.forEach(([query, state], n) => {
        const x = users.x + 12 + (n % across) * RADIUS * 3;
        const wanted = { x, y: y + 24 + Math.floor(n / across) * row };
        const place = places.get(query.id) || { x: users.x, y: wanted.y };
        const ease = playing ? 0.2 : 1;
        place.x += (wanted.x - place.x) * ease;
        place.y += (wanted.y - place.y) * ease;
        place.state = state;
        places.set(query.id, place);
      });
      y += 20 + rows[at] * row + (room - heads - rows.reduce((a, b) => a + b, 0) * row) / 4;
    });
  }

  function drawQueries(users, boxes, held) {
    const states = queries.map((query) => [query, stateOf(query, t)]).filter(([, s]) => s);
    const there = new Set(states.map(([query]) => query.id));
    for (const id of places.keys()) if (!there.has(id)) places.delete(id);
    targets(users, states);
    for (const slot of held) {
      const place = places.get(slot[6]);
      if (!place || !(place.state === "met" || place.state === "missed")) continue;
      const box = slotBox(slot, boxes), mine = slot[6] === chosen;
      g.strokeStyle = COLOURS[place.state];
      g.globalAlpha = mine ? 1 : chosen === null ? 0.28 : 0.1;
      g.lineWidth = mine ? 2 : 1;
      g.beginPath();
      g.moveTo(place.x, place.y);
      if (narrow()) {
        g.bezierCurveTo(place.x, box.y - 30, box.x + box.w / 2, place.y + 30, box.x + box.w / 2,
          box.y);
      } else {
        const x = box.x, y = box.y + box.h / 2, middle = (users.w + x) / 2;
        g.bezierCurveTo(middle, place.y, middle, y, x, y);
      }
      g.stroke();
    }
    g.globalAlpha = 1;
    g.lineWidth = 1;
    for (const [query, state] of states) {
      const place = places.get(query.id);
      g.fillStyle = COLOURS[state];
      g.beginPath();
      g.arc(place.x, place.y, RADIUS, 0, 7);
      g.fill();
      const refused = query.refused.some((at) => at <= t && t < at + FLASH_S);
      if (refused || query.id === chosen) {
        g.strokeStyle = refused ? "#cc0000" : ink();
        g.lineWidth = 2;
        g.beginPath();
        g.arc(place.x, place.y, RADIUS + 3, 0, 7);
        g.stroke();
        g.lineWidth = 1;
      }
    }
    return states;
  }

  function drawChart() {
    const top = height() - CHART, h = CHART - 20, left = 30, w = width - left - 8;
    const x = (time) => left + (w * time) / scene.horizon;
    const most = Math.max(1, ...scene.goodput.map(([, , active]) => active));
    const y = (value) => top + h - (h * value) / most;
    text(most.toFixed(0), left - 4, top + 8, 10, "right");
    text("0", left - 4, top + h, 10, "right");
    for (const [column, colour] of [[2, "#8885"], [3, `${COLOURS.met}99`]]) {
      g.fillStyle = colour;
      for (const row of scene.goodput) {
        const from = row[0], to = Math.min(row[1], scene.horizon);
        g.fillRect(x(from), y(row[column]), x(to) - x(from), top + h - y(row[column]));
      }
    }
    for (const [kind, at] of scene.events) {
      g.strokeStyle = COLOURS.missed;
      g.beginPath();
      g.moveTo(x(at), top);
      g.lineTo(x(at), top + h);
      g.stroke();
      text(kind.replaceAll("_", " "), x(at) + 3, top + 9, 10, "left", COLOURS.missed);
    }
    g.strokeStyle = ink();
    g.beginPath();
    g.moveTo(x(t), top);
    g.lineTo(x(t), top + h);
    g.stroke();
    text("grey: active queries, green: SLO met", left, height() - 5, 10);
    text(`${scene.horizon} s`, width - 8, height() - 5, 10, "right");
  }

  function draw() {
    g.clearRect(0, 0, width, height());
    const { users, boxes: tiers } = zones(), boxes = machineBoxes(tiers);
    frameOf(users, "users' devices");
    for (const [tier, box] of Object.entries(tiers)) {
      frameOf(box, tier === "edge" ? "edge site" : "cloud");
    }
    if (!narrow()) text("links", width * 0.46, users.y + 14, 12, "center");
    const held = scene.slots.filter((slot) => slot[7] <= t && t < slot[9]);
    drawMachines(boxes, held);
    const states = drawQueries(users, boxes, held);
    drawChart();
    const count = (name) => states.filter(([, state]) => state === name).length;
    find(".counts").replaceChildren(...Object.keys(COLOURS).map((name) => {
      const part = document.createElement("span"), dot = document.createElement("i");
      dot.style.background = COLOURS[name];
      part.append(dot, `${WORDS[name]}: ${count(name)}`);
      return part;
    }));
    slider.value = t;
    slider.setAttribute("aria-valuetext", `${t.toFixed(0)} seconds`);
    find("output").value = `${t.toFixed(0)} s`;
  }

  function about() {
    const place = find(".about"), query = queries.find((one) => one.id === chosen);
    place.replaceChildren();
    if (!query) return;
    const line = (words) => {
      const paragraph = document.createElement("p");
      paragraph.textContent = words;
      place.append(paragraph);
    };
    const slo = Object.entries(query.slo).map(([name, value]) => `${name} ${value}`).join(", ");
    line(`Query ${query.id} (${query.about.join(", ")}): from ${query.span[0]} to ` +
      `${query.span[1]} s. SLO: ${slo || "none"}.`);
    const failed = query.judged.filter(([, met]) => !met);
    const parts = PARTS.filter((_, at) => failed.some(([, , bits]) => !(bits & (1 << at))));
    line(`SLO met in ${query.judged.length - failed.length} of ${query.judged.length} windows` +
      (parts.length ? `; missed: ${parts.join(", ")}.` : "."));
    for (const [at, outcome, plan] of query.orders.slice(0, 12)) {
      line(`${at} s: ${outcome}${plan ? `: ${plan}` : ""}`);
    }
  }

  // --- Time ------------------------------------------------------------------------------------
  function request() {
    if (!frame) frame = requestAnimationFrame(step);
  }
  function step(now) {
    frame = 0;
    if (playing && last !== null) {
      t += (Math.min(now - last, 100) / 1000) * Number(find(".speed").value);
      if (t >= scene.horizon) {
        t = scene.horizon - 0.01;
        play(false);
      }
    }
    last = playing ? now : null;
    draw();
    if (playing) request();
  }
  function play(on) {
    playing = on;
    find(".play").textContent = on ? "pause" : "play";
    if (on && t >= scene.horizon - 1) t = 0;
    request();
  }
  function seek(time) {
    t = Math.min(Math.max(0, time), scene.horizon - 0.01);
    request();
  }
  function choose(id) {
    chosen = id;
    find(".query").value = id ?? "";
    about();
    request();
    if (options.chosen) options.chosen(id);
  }
  find(".play").onclick = () => play(!playing);
  slider.oninput = () => seek(Number(slider.value));
  find(".query").onchange = (event) => choose(event.target.value ? Number(event.target.value) : null);
  canvas.onclick = (event) => {
    const at = canvas.getBoundingClientRect();
    const [x, y] = [event.clientX - at.left, event.clientY - at.top];
    const near = [...places].map(([id, p]) => [Math.hypot(p.x - x, p.y - y), id]).sort((a, b) => a[0] - b[0]);
    choose(near.length && near[0][0] < 3 * RADIUS ? near[0][1] : null);
  };
  canvas.onkeydown = (event) => {
    const by = { ArrowLeft: -5, ArrowRight: 5, PageUp: -60, PageDown: 60 }[event.key];
    if (by) seek(t + by);
    else if (event.key === " ") play(!playing);
    else return;
    event.preventDefault();
  };
  const observer = new ResizeObserver(resize);
  observer.observe(root);
  resize();
  const still = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
  seek(options.at ?? (still ? scene.horizon / 2 : 0));
  play(Boolean(options.play) && !still);
  return {
    seek, play, choose, time: () => t,
    destroy: () => {
      observer.disconnect();
      cancelAnimationFrame(frame);
      frame = -1; // no further frames
    },
  };
}

/** Draw a model's scene again whenever it changes: for Panel's JSComponent and for anywidget.
 * The model's `chosen` becomes the query that is clicked on. */
export function render({ model, el }) {
  const read = () => (model.get ? model.get("scene") : model.scene);
  const chosen = (id) => {
    if (model.get) {
      model.set("chosen", id);
      model.save_changes();
    } else model.chosen = id;
  };
  const root = document.createElement("div");
  let shown = null;
  const draw = () => {
    const scene = read(), at = shown ? shown.time() : undefined;
    if (shown) shown.destroy();
    root.replaceChildren();
    shown = scene && scene.queries ? animate(root, scene, { at: at ?? scene.horizon / 2, chosen }) : null;
  };
  model.on(model.get ? "change:scene" : "scene", draw);
  el.append(root);
  draw();
  return () => shown && shown.destroy();
}
export default { render };
