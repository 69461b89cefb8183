// The page of a sweep: the front over any two columns, and a table that sorts and filters.
// Which points dominate which is decided as in hasim.studies.pareto, from every seed's numbers.

const RAMP = ["#440154", "#414487", "#2a788e", "#22a884", "#7ad151", "#fde725"];

function html(name, text, parent) {
  const element = document.createElement(name);
  element.textContent = text;
  if (parent) parent.appendChild(element);
  return element;
}

const digits = (value) => (value === null || !isFinite(value) ? "–" : Number(value.toPrecision(4)).toString().replace("-", "−"));

function ramp(share) {
  const place = Math.min(Math.max(share, 0), 1) * (RAMP.length - 1), low = Math.min(Math.floor(place), RAMP.length - 2);
  const [a, b] = [RAMP[low], RAMP[low + 1]].map((text) => [1, 3, 5].map((i) => parseInt(text.slice(i, i + 2), 16)));
  return `rgb(${a.map((value, i) => Math.round(value + (b[i] - value) * (place - low))).join(" ")})`;
}

// ---------------------------------------------------------------------------------- statistics

function interval(values, quantiles) {
  const known = values.filter((value) => value !== null), count = known.length;
  if (!count) return { mean: NaN, half: Infinity, count };
  const mean = known.reduce((sum, value) => sum + value, 0) / count;
  if (count < 2) return { mean, half: Infinity, count };
  if (known.every((value) => value === known[0])) return { mean: known[0], half: 0, count };
  const spread = Math.sqrt(known.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (count - 1));
  return { mean, half: quantiles[count - 1] * spread / Math.sqrt(count), count };
}

function dominates(a, b) {
  return a.every((cost, i) => cost <= b[i]) && a.some((cost, i) => cost < b[i]);
}

/** a and b: for each objective a map from seed to cost. */
function clearlyDominates(a, b, quantiles) {
  let better = false;
  for (let i = 0; i < a.length; i++) {
    const differences = [];
    for (const [seed, cost] of a[i]) if (b[i].has(seed)) differences.push(b[i].get(seed) - cost);
    const { mean, half, count } = interval(differences, quantiles);
    if (!count || !(mean - half >= 0)) return false;
    better = better || mean - half > 0;
  }
  return better;
}

function niceTicks(low, high, count) {
  const step = niceStep(high - low, count), ticks = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k++) ticks.push(Number((k * step).toPrecision(10)));
  return ticks;
}

function logTicks(low, high) {
  const ticks = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++) {
    for (const factor of [1, 2, 5]) { const value = factor * 10 ** power; if (value >= low * 0.999 && value <= high * 1.001) ticks.push(Number(value.toPrecision(3))); }
  }
  return ticks;
}

// ----------------------------------------------------------------------------------------- page

const rows = [...document.querySelectorAll("#table tbody tr")];
const shown = { points: new Set(rows.map((row) => Number(row.dataset.point))), front: new Set() };
const chart = at("data") ? front(JSON.parse(at("data").textContent)) : null;
table();

function front(data) {
  const box = at("front-chart"), card = at("card");
  const [x, y, c] = ["axis-x", "axis-y", "axis-c"].map(at);
  let current = 0, pinned = false, drawn = null;

  for (const select of [x, y]) data.columns.forEach((column, number) => select.append(new Option(column.label, number)));
  c.append(new Option("none", -1));
  data.columns.forEach((column, number) => c.append(new Option(column.label, number)));
  x.value = data.x; y.value = data.y; c.value = data.colour;
  const good = (axis) => { at(`good-${axis}`).value = data.columns[Number(at(`axis-${axis}`).value)].maximize ? 1 : -1; };
  good("x"); good("y");
  if (data.points.every((point) => point.seeds.length < 2)) { at("rule").value = "plain"; at("rule").disabled = true; }

  const stats = (point, column) => interval(data.points[point].values[column], data.quantiles);

  /** Half the interval once every seed's mean over all points is taken away, as in hasim.studies.pareto. */
  const shared = new Map();
  function within(point, column) {
    if (!shared.has(column)) {
      const seeds = data.points[0].seeds, count = data.points.length;
      const whole = count > 1 && data.points.every((own) => own.seeds.join() === seeds.join() && own.values[column].every((value) => value !== null));
      shared.set(column, whole ? seeds.map((_, k) => data.points.reduce((sum, own) => sum + own.values[column][k], 0) / count) : null);
    }
    const means = shared.get(column), values = data.points[point].values[column], plain = stats(point, column);
    if (!means || plain.half === 0) return plain.half;
    const count = data.points.length;
    return interval(values.map((value, k) => value - means[k]), data.quantiles).half * Math.sqrt(count / (count - 1));
  }

  function front_of(columns, signs) {
    const members = [...shown.points].filter((point) => columns.every((column) => isFinite(stats(point, column).mean)));
    const means = new Map(members.map((point) => [point, columns.map((column, i) => -signs[i] * stats(point, column).mean)]));
    const leading = new Set(members.filter((b) => !members.some((a) => dominates(means.get(a), means.get(b)))));
    let on = leading;
    if (at("rule").value === "paired") {
      const costs = new Map(members.map((point) => [point, columns.map((column, i) => {
        const own = data.points[point], known = new Map();
        own.values[column].forEach((value, k) => { if (value !== null) known.set(own.seeds[k], -signs[i] * value); });
        return known;
      })]));
      on = new Set(members.filter((b) => !members.some((a) => clearlyDominates(costs.get(a), costs.get(b), data.quantiles))));
    }
    return { members, leading, on };
  }

  function draw() {
    const columns = [Number(x.value), Number(y.value)], signs = [Number(at("good-x").value), Number(at("good-y").value)];
    const { members, leading, on } = front_of(columns, signs);
    shown.front = on;
    const wide = Math.max(box.clientWidth, 260), narrow = wide < 520, high = narrow ? 340 : 460;
    const edge = { left: 62, right: 18, top: 16, bottom: 50 };
    const picture = svg("svg", { viewBox: `0 0 ${wide} ${high}`, height: high, role: "group",
      "aria-label": `${members.length} points: ${data.columns[columns[1]].label} against ${data.columns[columns[0]].label}; ${on.size} are on the front` });
    if (!members.length) {
      svg("text", { x: wide / 2, y: high / 2, "text-anchor": "middle" }, picture, "no point is left");
      box.replaceChildren(picture);
      return;
    }
    const bars = at("bars").checked;
    const place = new Map(members.map((point) => [point, columns.map((column) => ({ mean: stats(point, column).mean, half: within(point, column) }))]));
    const reach = (i) => {
      const ends = [];
      for (const point of members) { const { mean, half } = place.get(point)[i]; ends.push(mean); if (bars && isFinite(half)) ends.push(mean - half, mean + half); }
      return [Math.min(...ends), Math.max(...ends)];
    };
    let [lowX, highX] = reach(0), [lowY, highY] = reach(1);
    const positive = members.every((point) => place.get(point)[0].mean > 0);
    at("log-x").disabled = !positive;
    const log = at("log-x").checked && positive;
    if (log) lowX = Math.min(...members.map((point) => place.get(point)[0].mean));
    const widen = (low, high) => { const more = (high - low || Math.abs(high) || 1) * 0.05; return [low - more, high + more]; };
    [lowY, highY] = widen(lowY, highY);
    if (log) { lowX /= 1.15; highX *= 1.15; } else [lowX, highX] = widen(lowX, highX);
    const span = (value) => (log ? Math.log(Math.max(value, lowX) / lowX) / Math.log(highX / lowX) : (value - lowX) / (highX - lowX));
    const X = (value) => edge.left + span(value) * (wide - edge.left - edge.right);
    const Y = (value) => high - edge.bottom - (value - lowY) / (highY - lowY) * (high - edge.top - edge.bottom);
    for (const tick of log ? logTicks(lowX, highX) : niceTicks(lowX, highX, narrow ? 4 : 7)) {
      svg("line", { class: "line", x1: X(tick), x2: X(tick), y1: edge.top, y2: high - edge.bottom }, picture);
      svg("text", { x: X(tick), y: high - edge.bottom + 17, "text-anchor": "middle" }, picture, digits(tick));
    }
    for (const tick of niceTicks(lowY, highY, 6)) {
      svg("line", { class: "line", x1: edge.left, x2: wide - edge.right, y1: Y(tick), y2: Y(tick) }, picture);
      svg("text", { x: edge.left - 8, y: Y(tick) + 4, "text-anchor": "end" }, picture, digits(tick));
    }
    const named = (i) => { const { label } = data.columns[columns[i]]; return signs[i] > 0 ? `${label}: better →` : `← better: ${label}`; };
    svg("text", { class: "lane-name", x: (wide + edge.left - edge.right) / 2, y: high - 10, "text-anchor": "middle" }, picture, named(0));
    svg("text", { class: "lane-name", transform: `translate(14 ${(high - edge.bottom + edge.top) / 2}) rotate(-90)`, "text-anchor": "middle" }, picture, named(1));
    const line = members.filter((point) => leading.has(point)).sort((a, b) => place.get(a)[0].mean - place.get(b)[0].mean || place.get(a)[1].mean - place.get(b)[1].mean);
    if (line.length > 1) svg("path", { class: "joined", d: "M" + line.map((point) => `${X(place.get(point)[0].mean)} ${Y(place.get(point)[1].mean)}`).join("L") }, picture);
    const shade = Number(c.value), shades = new Map();
    if (shade >= 0) {
      const known = members.filter((point) => data.points[point].fits || on.has(point)).map((point) => stats(point, shade).mean).filter(isFinite);
      const [low, top] = [Math.min(...known), Math.max(...known)];
      for (const point of members) shades.set(point, ramp((stats(point, shade).mean - low) / (top - low || 1)));
      at("scale-low").textContent = digits(low);
      at("scale-high").textContent = `${digits(top)}  ${data.columns[shade].label}`;
    }
    at("front-scale").hidden = shade < 0;
    const order = [...members].sort((a, b) => (on.has(a) - on.has(b)) || (leading.has(a) - leading.has(b)));
    if (bars) for (const point of order) {
      const [across, up] = place.get(point), name = on.has(point) ? "whisker" : "whisker beaten";
      if (isFinite(across.half) && across.half > 0) svg("path", { class: name, d: `M${X(across.mean - across.half)} ${Y(up.mean)}H${X(across.mean + across.half)}` }, picture);
      if (isFinite(up.half) && up.half > 0) svg("path", { class: name, d: `M${X(across.mean)} ${Y(up.mean - up.half)}V${Y(up.mean + up.half)}` }, picture);
    }
    const marks = new Map();
    for (const point of order) {
      const [across, up] = place.get(point), cx = X(across.mean), cy = Y(up.mean), r = leading.has(point) ? 6.5 : on.has(point) ? 5 : 4.5;
      const name = `point${leading.has(point) ? " best" : ""}${on.has(point) || leading.has(point) ? "" : " beaten"}${shades.has(point) ? "" : " colour-0"}`;
      const label = `${data.points[point].words}: ${data.columns[columns[0]].label} ${digits(across.mean)}, ${data.columns[columns[1]].label} ${digits(up.mean)}${on.has(point) ? ", on the front" : ""}${data.points[point].fits ? "" : ", does not fit"}`;
      const group = svg("g", { class: name, tabindex: -1, role: "img", "aria-label": label, "data-point": point }, picture);
      if (shades.has(point)) group.setAttribute("fill", shades.get(point));
      svg("circle", { cx, cy, r: r + 6, fill: "transparent", stroke: "none" }, group);
      if (data.points[point].fits) svg("circle", { cx, cy, r }, group);
      else { const arm = r * 0.9, w = 2.2; svg("path", { transform: `translate(${cx} ${cy}) rotate(45)`, d: `M${-w} ${-arm - 1}h${2 * w}v${arm + 1 - w}h${arm + 1 - w}v${2 * w}h${-(arm + 1 - w)}v${arm + 1 - w}h${-2 * w}v${-(arm + 1 - w)}h${-(arm + 1 - w)}v${-2 * w}h${arm + 1 - w}z` }, group); }
      group.addEventListener("pointerenter", () => { if (!pinned) look(point); });
      group.addEventListener("click", () => { pinned = true; look(point); group.focus(); });
      group.addEventListener("focus", () => look(point));
      group.addEventListener("keydown", (event) => keys(event, point));
      marks.set(point, { group, cx, cy, r });
    }
    box.replaceChildren(picture);
    drawn = { picture, marks, members, on };
    if (!marks.has(current)) current = line[0];
    marks.get(current).group.setAttribute("tabindex", 0);
    ring(current);
  }

  function keys(event, point) {
    const { marks, members, on } = drawn, here = marks.get(point);
    const sorted = (along) => [...members].sort((a, b) => marks.get(a)[along] - marks.get(b)[along] || a - b);
    const across = sorted("cx"), up = sorted("cy");
    const step = { ArrowRight: [across, 1], ArrowLeft: [across, -1], ArrowDown: [up, 1], ArrowUp: [up, -1] }[event.key];
    let next;
    if (step) next = step[0][step[0].indexOf(point) + step[1]];
    else if (event.key === "Home") next = across[0];
    else if (event.key === "End") next = across[across.length - 1];
    else if (event.key.toLowerCase() === "f" && !event.ctrlKey && !event.metaKey) {
      const best = across.filter((one) => on.has(one)), after = best.filter((one) => marks.get(one).cx > here.cx || (marks.get(one).cx === here.cx && one > point));
      next = after[0] ?? best[0];
    } else if (event.key === "Enter") { const row = rows[point]; row.tabIndex = -1; row.focus(); row.scrollIntoView({ block: "center" }); event.preventDefault(); return; }
    else return;
    event.preventDefault();
    if (next !== undefined) { pinned = false; marks.get(next).group.focus(); }
  }

  function ring(point) {
    drawn.picture.querySelector(".ring")?.remove();
    const mark = drawn.marks.get(point);
    if (mark) svg("circle", { class: "ring", cx: mark.cx, cy: mark.cy, r: mark.r + 4 }, drawn.picture);
  }

  function look(point) {
    const mark = drawn.marks.get(point), before = drawn.marks.get(current);
    if (before) before.group.setAttribute("tabindex", -1);
    current = point;
    if (mark) mark.group.setAttribute("tabindex", 0);
    ring(point);
    for (const row of rows) row.classList.toggle("current", Number(row.dataset.point) === point);
    show_card(point);
  }

  function show_card(point) {
    const own = data.points[point], list = document.createElement("dl");
    const pair = (name, value, whole) => { const term = html("dt", name, list), text = html("dd", value, list); if (whole) { term.className = "wholly"; text.className = "wholly"; } };
    const heading = html("h3", own.words);
    const state = [shown.front.has(point) ? "On the front." : "Beaten, or not shown above.", own.fits ? "Fits." : "Does not fit."];
    const text = html("p", state.join(" "));
    for (const [path, value] of Object.entries(own.settings)) pair(path, value);
    const columns = [...new Set([Number(x.value), Number(y.value), Number(c.value)])].filter((column) => column >= 0);
    for (const column of columns) {
      const { mean, half, count } = stats(point, column);
      const half_within = within(point, column);
      const words = !count ? "" : !isFinite(half) ? " (one seed, no interval)" : half === 0 ? " with every seed" : ` [${digits(mean - half)}, ${digits(mean + half)}]`;
      const alone = isFinite(half_within) && half_within > 0 ? `; ±${Number(half_within.toPrecision(2))} without what all points share` : "";
      pair(data.columns[column].label, `${digits(mean)}${words}${alone}`, true);
    }
    pair("scenario", data.scenario);
    pair("rows (seed: scenario hash)", own.seeds.map((seed, k) => `${seed}: ${own.hashes[k]}`).join(", "), true);
    pair("key of the rows", own.key, true);
    if (own.reasons.length) pair("reasons", own.reasons[0], true);
    const here = drawn.marks.get(point);
    const near = here ? drawn.members.filter((other) => other !== point && Math.hypot(drawn.marks.get(other).cx - here.cx, drawn.marks.get(other).cy - here.cy) < 3) : [];
    if (near.length) pair("at the same place", near.map((other) => data.points[other].words).join("; "), true);
    const command = document.createElement("details");
    html("summary", "Run it alone", command);
    html("pre", own.command, command);
    card.replaceChildren(heading, text, list, command);
  }

  for (const axis of ["x", "y"]) {
    at(`axis-${axis}`).addEventListener("change", () => { good(axis); draw(); });
    at(`good-${axis}`).addEventListener("change", draw);
  }
  for (const id of ["axis-c", "rule", "log-x", "bars"]) at(id).addEventListener("change", draw);
  box.addEventListener("click", (event) => { if (!event.target.closest(".point")) pinned = false; });
  at("front-box").hidden = false;
  draw();
  let wide = box.clientWidth;
  new ResizeObserver(() => { if (Math.abs(box.clientWidth - wide) > 4) { wide = box.clientWidth; draw(); } }).observe(box);
  return { draw, look };
}

function table() {
  const body = document.querySelector("#table tbody"), heads = [...document.querySelectorAll("#table thead th")];
  heads.forEach((head, number) => {
    const button = html("button", head.textContent);
    button.type = "button";
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      for (const other of heads) { other.removeAttribute("aria-sort"); other.firstElementChild.textContent = other.firstElementChild.textContent.replace(/ [▲▼]$/, ""); }
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      button.textContent += down ? " ▼" : " ▲";
      const key = (row) => JSON.parse(row.cells[number].dataset.sort);
      const order = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b)));
      const sorted = [...body.rows].sort((a, b) => {
        const [left, right] = [key(a), key(b)];
        if (left === null || right === null) return (left === null) - (right === null);
        return (down ? -1 : 1) * order(left, right);
      });
      body.append(...sorted);
    });
  });

  function filter() {
    const words = at("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
    const before = [...shown.points].join();
    const fits = (row) => (!at("only-fit").checked || row.dataset.fits === "1") && words.every((word) => row.textContent.toLowerCase().includes(word));
    shown.points = new Set(rows.filter(fits).map((row) => Number(row.dataset.point)));
    if (chart && [...shown.points].join() !== before) chart.draw();
    let visible = 0;
    for (const row of rows) {
      const point = Number(row.dataset.point);
      row.hidden = !shown.points.has(point) || (at("only-front").checked && !shown.front.has(point));
      visible += !row.hidden;
    }
    at("count").textContent = `${visible} of ${rows.length} points`;
  }

  for (const row of rows) {
    if (!chart) break;
    row.addEventListener("click", () => chart.look(Number(row.dataset.point)));
    row.addEventListener("focus", () => chart.look(Number(row.dataset.point)));
    row.addEventListener("keydown", (event) => { if (event.key === "Escape") { document.querySelector("#front-chart [tabindex='0']")?.focus(); } });
  }
  for (const id of ["filter", "only-fit", "only-front"]) at(id).addEventListener("input", filter);
  for (const id of ["axis-x", "axis-y", "good-x", "good-y", "rule"]) at(id)?.addEventListener("change", filter);
  at("only-front").disabled = !chart;
  document.querySelector(".filters").hidden = false;
  filter();
}
