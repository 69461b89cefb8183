// The page of a run: a player that switches between signals while it plays, and a view of single frames.
// Nothing is fetched: sound comes from the players' own data URIs, records from a JSON block.

const calm = matchMedia("(prefers-reduced-motion: reduce)");

// ---------------------------------------------------------------------------------------- player
// All signals run at once on one clock, each through its own gain; choosing one opens its gain.

function player() {
  const box = at("player"), slider = at("position"), play = at("play"), loop = at("loop");
  const duration = Number(box.dataset.duration), FADE_S = 0.008;
  const figures = [...document.querySelectorAll(".spectrogram")];
  let context = null, buffers = null, sources = [], gains = [], matrix = null;
  let offset = 0, began = 0, playing = false, loading = null, drawn = 0;

  const signal = () => Number(document.querySelector("[name=signal]:checked").value);
  const ear = () => document.querySelector("[name=ear]:checked").value;

  function position() {
    if (!playing) return offset;
    const now = offset + context.currentTime - began;
    return loop.checked ? now % duration : Math.min(now, duration);
  }

  function bytes(uri) {
    const text = atob(uri.slice(uri.indexOf(",") + 1));
    return Uint8Array.from(text, (letter) => letter.charCodeAt(0)).buffer;
  }

  async function load() {
    context = new AudioContext();
    const players = [...document.querySelectorAll("#plain audio")];
    buffers = await Promise.all(players.map((one) => context.decodeAudioData(bytes(one.src))));
    const mix = context.createGain(), split = context.createChannelSplitter(2);
    const merge = context.createChannelMerger(2);
    mix.connect(split);
    matrix = [0, 1].map((from) => [0, 1].map((to) => {
      const gain = context.createGain();
      split.connect(gain, from);
      gain.connect(merge, 0, to);
      return gain;
    }));
    merge.connect(context.destination);
    gains = buffers.map(() => { const gain = context.createGain(); gain.gain.value = 0; gain.connect(mix); return gain; });
    choose(0);
  }

  function choose(fade) {
    const heard = signal(), which = ear();
    for (const figure of figures) {
      const own = which === "both" || figure.dataset.ear === which;
      figure.classList.toggle("playing", Number(figure.dataset.signal) === heard && own);
    }
    if (!context || !matrix) return;
    const ramp = (gain, value) => {
      gain.gain.cancelScheduledValues(context.currentTime);
      gain.gain.setValueAtTime(gain.gain.value, context.currentTime);
      gain.gain.linearRampToValueAtTime(value, context.currentTime + Math.max(fade, 0.001));
    };
    gains.forEach((gain, number) => ramp(gain, number === heard ? 1 : 0));
    const open = { both: [[1, 0], [0, 1]], left: [[1, 1], [0, 0]], right: [[0, 0], [1, 1]] }[which];
    matrix.forEach((row, from) => row.forEach((gain, to) => ramp(gain, open[from][to])));
  }

  function stop() {
    for (const source of sources) { source.onended = null; source.stop(); source.disconnect(); }
    sources = [];
  }

  function start(from) {
    stop();
    offset = from >= duration - 0.02 ? 0 : from;
    began = context.currentTime + 0.02;
    sources = buffers.map((buffer, number) => {
      const source = context.createBufferSource();
      source.buffer = buffer;
      source.loop = loop.checked;
      source.connect(gains[number]);
      source.start(began, offset);
      return source;
    });
    sources[0].onended = () => { offset = 0; set(false); };
  }

  function set(value) {
    playing = value;
    if (!value) stop();
    play.setAttribute("aria-pressed", String(value));
    play.firstElementChild.textContent = value ? "❚❚" : "▶";
    at("play-word").textContent = value ? "Pause" : "Play";
    box.dataset.state = value ? "playing" : "paused";
    draw();
    if (value) requestAnimationFrame(tick);
  }

  async function toggle() {
    if (playing) { offset = position(); set(false); return; }
    try {
      loading = loading || load();
      await loading;
      await context.resume();
    } catch (error) {
      loading = null;
      at("player-says").classList.remove("hidden");
      at("player-says").textContent = `This browser cannot play here (${error.message}); try the plain players below.`;
      return;
    }
    start(offset);
    set(true);
  }

  function seek(to) {
    const time = Math.min(Math.max(to, 0), duration);
    if (playing) start(time); else offset = time;
    draw();
  }

  function draw() {
    const now = Math.max(position(), 0);
    slider.value = now;
    const words = `${now.toFixed(1)} s of ${duration.toFixed(1)} s`;
    at("time").textContent = words;
    slider.setAttribute("aria-valuetext", words);
    for (const figure of figures) {
      const head = figure.querySelector(".playhead");
      head.hidden = false;
      head.style.left = `${100 * now / duration}%`;
    }
  }

  function tick(time) {
    if (!playing) return;
    if (!calm.matches || time - drawn > 250) { drawn = time; draw(); }
    requestAnimationFrame(tick);
  }

  function pick(name, number) {
    const radio = document.querySelectorAll(`[name=${name}]`)[number];
    radio.checked = true;
    choose(FADE_S);
  }

  play.addEventListener("click", toggle);
  slider.addEventListener("input", () => seek(Number(slider.value)));
  loop.addEventListener("change", () => { if (playing) start(position()); });
  for (const radio of document.querySelectorAll("[name=signal], [name=ear]")) {
    radio.addEventListener("change", () => choose(FADE_S));
  }
  for (const figure of figures) {
    const frame = figure.querySelector(".frame");
    frame.addEventListener("click", (event) => {
      const area = frame.getBoundingClientRect();
      pick("signal", Number(figure.dataset.signal));
      seek(duration * (event.clientX - area.left) / area.width);
      play.focus({ preventScroll: true });
    });
  }
  box.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const key = event.key.toLowerCase(), radio = event.target.type === "radio";
    const seekable = !radio && event.target !== slider && event.target.type !== "checkbox";
    if (key === " " && event.target !== play && event.target.type !== "checkbox") toggle();
    else if ("123".includes(key) && key !== "") pick("signal", Number(key) - 1);
    else if ("blr".includes(key)) pick("ear", "blr".indexOf(key));
    else if (key === "arrowleft" && seekable) seek(position() - 1);
    else if (key === "arrowright" && seekable) seek(position() + 1);
    else return;
    event.preventDefault();
  });
  for (const hidden of [box.querySelector(".controls"), box.querySelector(".when-script")]) hidden.hidden = false;
  choose(0);
  set(false);
}

// -------------------------------------------------------------------------------------- timeline
// A few frames of both devices and the link; bars are reached with the arrow keys, one at a time.

function timeline() {
  const record = JSON.parse(at("record").textContent), PER_MS = 1e4;  // 100 ns each
  const EARS = ["left", "right"], STATUSES = ["in time", "late", "lost", "not sent"];
  const chart = at("gantt-chart"), frame = at("frame"), count = at("frame-count");
  const frames = record.ears[0].released.length;
  const colour = (name) => `colour-${name % 6}`;
  const ms = (ticks, digits = 2) => (ticks / PER_MS).toFixed(digits).replace("-", "−");
  const at_ms = (ear, number, ticks) => (record.ears[ear].released[number] + ticks);

  function groups(flat, size) {
    const parts = [];
    for (let i = 0; i < flat.length; i += size) parts.push(flat.slice(i, i + size));
    return parts;
  }

  function went_wrong(number) {
    return record.ears.some((ear) => ear.heard[number] === "0"
      || ear.statuses.some((own) => "12".includes(own[number])));
  }

  const lanes = [];
  const lane = (key, name) => { lanes.push({ key, name }); };
  lane("core0", "left core");
  if (record.accelerator[0]) lane("acc0", "left accelerator");
  if (record.channels.length) { lane("air0", "left → right"); lane("air1", "right → left"); }
  if (record.accelerator[1]) lane("acc1", "right accelerator");
  lane("core1", "right core");

  function items(first, last) {
    const found = [];
    for (const [number, ear] of record.ears.entries()) {
      for (let n = first; n <= last; n++) {
        if (ear.steps[n] >= 0) {
          for (const [name, on_accelerator, start, length] of groups(record.steps[ear.steps[n]], 4)) {
            const begin = at_ms(number, n, start);
            found.push({ kind: "step", lane: `${on_accelerator ? "acc" : "core"}${number}`, begin, end: begin + length, name, frame: n,
              words: `${record.names[name]}, frame ${n} of the ${EARS[number]} ear: ${ms(begin)} to ${ms(begin + length)} ms (${ms(length, 3)} ms)` });
          }
        }
        if (ear.packets[n] >= 0) {
          for (const [channel, piece, attempt, start, length, arrived, lost] of groups(record.packets[ear.packets[n]], 7)) {
            const begin = at_ms(number, n, start);
            const status = STATUSES[record.ears[1 - number].statuses[channel][n]];
            const ends = lost ? "lost on the air" : `arrives at ${ms(at_ms(number, n, arrived))} ms`;
            found.push({ kind: "packet", lane: `air${number}`, begin, end: begin + length, lost, frame: n,
              arrived: lost ? null : at_ms(number, n, arrived),
              words: `${record.channels[channel]}, frame ${n} from the ${EARS[number]} ear, piece ${piece}, attempt ${attempt + 1}: on the air ${ms(begin)} to ${ms(begin + length)} ms, ${ends}; for the ${EARS[1 - number]} ear it is ${status}` });
          }
        }
      }
    }
    return found.sort((a, b) => a.begin - b.begin);
  }

  function say(item) { at("gantt-says").textContent = item.words; }

  function draw() {
    const first = Math.min(Math.max(Math.round(Number(frame.value)) || 0, 0), frames - 1);
    const last = Math.min(first + Number(count.value) - 1, frames - 1);
    const all = items(first, last);
    const wide = Math.max(chart.clientWidth, 280), narrow = wide < 560;
    const left = narrow ? 8 : 118, top = 26, tall = narrow ? 60 : 44, high = top + tall * lanes.length + 30;
    const ends = all.map((item) => item.arrived || item.end);
    const begin = Math.min(record.ears[0].released[first], record.ears[1].released[first], ...all.map((item) => item.begin));
    let end = Math.max(...ends, begin + 1);
    for (const ear of record.ears) end = Math.max(end, ear.released[last] + ear.deadline[last]);
    const x = (ticks) => left + (ticks - begin) / (end - begin) * (wide - left - 14);
    const picture = svg("svg", { viewBox: `0 0 ${wide} ${high}`, height: high, role: "group", "aria-label": `Frames ${first} to ${last}: ${all.length} bars` });
    const hatch = svg("pattern", { id: "hatch", width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" }, svg("defs", {}, picture));
    svg("line", { class: "hatch-line", y1: 0, y2: 6 }, hatch);
    const step = niceStep((end - begin) / PER_MS, narrow ? 4 : 9) * PER_MS;
    for (let time = Math.ceil(begin / step) * step; time <= end; time += step) {
      svg("line", { class: "line", x1: x(time), x2: x(time), y1: top - 4, y2: high - 26 }, picture);
      svg("text", { x: x(time), y: high - 9, "text-anchor": "middle" }, picture, `${+(time / PER_MS).toFixed(3)}`);
    }
    svg("text", { x: left, y: 14 }, picture, "time in ms");
    const y = {};
    lanes.forEach((own, number) => {
      y[own.key] = top + number * tall + (narrow ? 24 : 8);
      svg("text", { class: "lane-name", x: narrow ? left : left - 10, y: y[own.key] + (narrow ? -10 : 18), "text-anchor": narrow ? "start" : "end" }, picture, own.name);
    });
    for (const [number, ear] of record.ears.entries()) {
      for (let n = first; n <= last; n++) {
        const line = y[`core${number}`], kept = ear.heard[n] === "1";
        const release = x(ear.released[n]), due = x(ear.released[n] + ear.deadline[n]);
        svg("path", { class: "released", d: `M${release - 4} ${line - 6}h8l-4 6z` }, picture);
        svg("path", { class: kept ? "deadline" : "deadline missed", d: kept ? `M${due} ${line - 5}v38` : `M${due} ${line - 5}v38m-5 -5l10 10m0 -10l-10 10` }, picture);
      }
    }
    const bars = all.map((item, place) => {
      const from = x(item.begin), width = Math.max(x(item.end) - from, 1);
      const name = item.kind === "step" ? `item step ${colour(item.name)}` : `item packet${item.lost ? " lost" : ""}`;
      if (item.arrived) svg("path", { class: "flight", d: `M${from + width} ${y[item.lane] + 14}H${x(item.arrived)}` }, picture);
      const bar = svg("rect", { class: name, x: from, y: y[item.lane] + (item.kind === "packet" ? 4 : 0), width, height: item.kind === "packet" ? 20 : 28,
        tabindex: place ? -1 : 0, role: "img", "aria-label": item.words }, picture);
      if (item.kind === "step" && item.name >= 6) svg("rect", { class: "hatch", x: from, y: y[item.lane], width, height: 28 }, picture);
      const label = item.kind === "step" ? record.names[item.name] : String(item.frame);
      if (width > label.length * 6.6 + 6 && !item.lost) svg("text", { class: "bar-label", x: from + width / 2, y: y[item.lane] + 18, "text-anchor": "middle", "aria-hidden": "true" }, picture, label);
      bar.addEventListener("pointerenter", () => say(item));
      bar.addEventListener("focus", () => say(item));
      return bar;
    });
    bars.forEach((bar, place) => bar.addEventListener("keydown", (event) => {
      const step_to = { ArrowRight: place + 1, ArrowLeft: place - 1, Home: 0, End: bars.length - 1 }[event.key];
      const next = bars[step_to];
      if (next === undefined) return;
      bar.setAttribute("tabindex", -1);
      next.setAttribute("tabindex", 0);
      next.focus();
      event.preventDefault();
    }));
    chart.replaceChildren(picture);
    legend(all);
  }

  function legend(all) {
    const seen = [...new Set(all.filter((item) => item.kind === "step").map((item) => item.name))].sort((a, b) => a - b);
    const entries = seen.map((name) => {
      const line = document.createElement("li"), icon = svg("svg", { viewBox: "0 0 16 16", "aria-hidden": "true" }, line);
      svg("rect", { class: colour(name), width: 16, height: 16, rx: 3 }, icon);
      if (name >= 6) svg("rect", { class: "hatch", width: 16, height: 16 }, icon);
      line.append(record.names[name]);
      return line;
    });
    const more = document.createElement("li");
    more.textContent = "▼ frame complete, green line: deadline kept, crossed line: deadline missed";
    at("gantt-legend").replaceChildren(...entries, more);
  }

  function go(number) {
    frame.value = Math.min(Math.max(number, 0), frames - 1);
    draw();
  }

  at("frame-back").addEventListener("click", () => go(Number(frame.value) - Number(count.value)));
  at("frame-on").addEventListener("click", () => go(Number(frame.value) + Number(count.value)));
  at("frame-event").addEventListener("click", () => {
    const from = Number(frame.value);
    for (let step = 1; step <= frames; step++) {
      const number = (from + step) % frames;
      if (went_wrong(number)) { go(number); at("gantt-says").textContent = `Frame ${number}: ${state_of(number)}`; return; }
    }
    at("gantt-says").textContent = "No packet was late or lost, and every frame was ready in time.";
  });

  function state_of(number) {
    const words = [];
    record.ears.forEach((ear, place) => {
      ear.statuses.forEach((own, channel) => {
        if ("12".includes(own[number])) words.push(`${record.channels[channel]} for the ${EARS[place]} ear ${STATUSES[own[number]]}`);
      });
      if (ear.heard[number] === "0") words.push(`not ready in time at the ${EARS[place]} ear`);
    });
    return words.join("; ") || "nothing late or lost";
  }

  frame.addEventListener("change", draw);
  count.addEventListener("change", draw);
  for (const strip of document.querySelectorAll(".overview-strip")) {
    strip.addEventListener("click", (event) => {
      const area = strip.getBoundingClientRect();
      go(Math.floor(Number(frame.dataset.of) * (event.clientX - area.left) / area.width));
    });
  }
  at("gantt").hidden = false;
  draw();
  new ResizeObserver(() => { if (Math.abs(chart.clientWidth - Number(chart.dataset.wide || 0)) > 4) { chart.dataset.wide = chart.clientWidth; draw(); } }).observe(chart);
}

player();
timeline();
