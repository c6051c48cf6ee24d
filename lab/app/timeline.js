// A time axis with drift events. A click on it places an event; dragging or the arrow keys move one,
// and Delete removes it. What is wanted is sent as {event, at_s}: the number of an event, null for
// a new one, and its time, null to remove it. Python answers by new marks.

const STEP_S = 10, PAGE_S = 60, HINT = "click adds, dragging moves";

export function render({ model, el }) {
  const root = document.createElement("div");
  root.className = "timeline";
  root.innerHTML = '<div class="track"></div>' +
    '<div class="ends"><span>0 s</span><output></output><span class="end"></span></div>';
  const track = root.querySelector(".track"), told = root.querySelector("output");
  const buttons = [];

  const send = (event, at_s) => model.send_msg({ event, at_s });
  const within = (at_s) => Math.min(Math.max(0, at_s), model.horizon_s);
  const timeAt = (x) => {
    const box = track.getBoundingClientRect();
    return within(STEP_S * Math.round(((x - box.left) / box.width) * model.horizon_s / STEP_S));
  };

  function place(number, at_s) {
    const button = buttons[number];
    button.style.left = `${(100 * within(at_s)) / model.horizon_s}%`;
    button.setAttribute("aria-valuenow", at_s);
    button.setAttribute("aria-valuetext", `${at_s} s`);
  }

  function made(number) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = number + 1;
    button.setAttribute("role", "slider");
    button.setAttribute("aria-valuemin", 0);
    const now = () => Number(button.getAttribute("aria-valuenow"));
    let dragged = false;
    button.onkeydown = (event) => {
      const by = {
        ArrowLeft: -STEP_S, ArrowDown: -STEP_S, ArrowRight: STEP_S, ArrowUp: STEP_S,
        PageDown: -PAGE_S, PageUp: PAGE_S, Home: -Infinity, End: Infinity,
      }[event.key];
      if (by) {
        place(number, within(now() + by)); // so that a fast second key adds to the first
        send(number, now());
      } else if (event.key === "Delete" || event.key === "Backspace") send(number, null);
      else return;
      event.preventDefault();
    };
    button.onpointerdown = (event) => {
      dragged = false;
      button.setPointerCapture(event.pointerId);
    };
    button.onpointermove = (event) => {
      if (!button.hasPointerCapture(event.pointerId)) return;
      dragged = true;
      place(number, timeAt(event.clientX));
      told.value = `${now()} s`;
    };
    button.onpointerup = () => {
      told.value = HINT;
      if (dragged) send(number, now());
    };
    button.onclick = (event) => event.stopPropagation(); // no new event below this one
    return button;
  }

  function draw() {
    while (buttons.length > model.marks.length) buttons.pop().remove();
    while (buttons.length < model.marks.length) {
      buttons.push(made(buttons.length));
      track.append(buttons.at(-1));
    }
    model.marks.forEach(([words, at_s], number) => {
      buttons[number].setAttribute("aria-valuemax", model.horizon_s);
      buttons[number].setAttribute("aria-label", words);
      buttons[number].title = `${words}: arrow keys move it, Delete removes it`;
      place(number, at_s);
    });
    root.querySelector(".end").textContent = `${model.horizon_s} s`;
  }

  told.value = HINT;
  track.onclick = (event) => send(null, timeAt(event.clientX));
  model.on("marks", draw);
  model.on("horizon_s", draw);
  el.append(root);
  draw();
}

export default { render };
