"use strict";
(async () => {
  const ROW_PX = 30, ERRORS_ONLY = 1;
  const data = JSON.parse(document.getElementById("data").textContent);
  const size = data.names.length;
  const isDrawn = () => { document.documentElement.dataset.ready = "true"; };
  if (!size) return isDrawn();

  const byId = (id) => document.getElementById(id);
  const element = (name, properties = {}, ...children) => {
    const made = Object.assign(document.createElement(name), properties);
    made.append(...children);
    return made;
  };
  const plural = (n, what) => `${n.toLocaleString("en")} ${what}${n === 1 ? "" : "s"}`;
  const text = (value) =>
    value === null ? "–" : Number.isInteger(value) ? value.toLocaleString("en")
      : Math.abs(value) >= 1000 ? Math.round(value).toLocaleString("en") : String(+value.toPrecision(4));
  /** A float32 with the digits that it has. */
  const short = (value) => Number(value.toPrecision(6));
  const withUnit = (column) => (column.unit ? `${column.title} (${column.unit})` : column.title);

  // ---- Data -------------------------------------------------------------------------------------------------

  const columns = new Map(data.columns.map((column) => [column.key, column]));
  const scores = new Map(data.columns.map((column) => [column.key, new Map(data.outliers[column.key])]));
  const isOutlier = new Uint8Array(size);
  for (const rows of scores.values()) for (const row of rows.keys()) isOutlier[row] = 1;
  const lowered = data.names.map((name) => name.toLowerCase());
  const collator = new Intl.Collator("en", { numeric: true });
  const rank = new Float64Array(size);
  [...data.names.keys()].sort((a, b) => collator.compare(data.names[a], data.names[b])).forEach((row, i) => { rank[row] = i; });

  const begin = (row) => (row ? data.ends[row - 1] : 0);
  /** The values of all tilts by column; in the page the four bytes of each float32 stand apart. */
  const unpack = async () => {
    const packed = Uint8Array.from(atob(byId("values").textContent), (c) => c.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
    const n = bytes.length / 4, bits = new Uint32Array(n);
    for (let i = 0; i < n; i++) bits[i] = bytes[i] | (bytes[n + i] << 8) | (bytes[2 * n + i] << 16) | (bytes[3 * n + i] << 24);
    const values = new Float32Array(bits.buffer), tilts = data.ends[size - 1];
    return new Map(data.curves.map((key, i) => [key, values.subarray(i * tilts, (i + 1) * tilts)]));
  };
  const curves = await unpack();

  // ---- State: what the filter leaves, in which order, and what is selected --------------------------------------

  const state = {
    rows: [...data.names.keys()], isChosen: new Uint8Array(size).fill(1), sort: null, descending: false,
    selected: -1, metric: (data.columns.find((column) => column.of) ?? data.columns[0]).key,
  };

  /** One test a term: part of a name, or a condition on a column. */
  const parse = (line) => line.trim().split(/\s+/).filter(Boolean).map((term) => {
    const [, key, sign, number] = term.match(/^([a-z]+)(<=|>=|<|>|=)(.*)$/i) ?? [];
    if (!key || (!columns.has(key.toLowerCase()) && sign === "=")) {
      const part = term.toLowerCase();
      return (row) => lowered[row].includes(part);
    }
    const column = columns.get(key.toLowerCase());
    if (!column) throw new Error(`There is no column ${key}: ${[...columns.keys()].join(", ")}.`);
    const bound = Number(number);
    if (number === "" || Number.isNaN(bound)) throw new Error(`${key}${sign} needs a number.`);
    const compare = {
      "<": (v) => v < bound, ">": (v) => v > bound, "<=": (v) => v <= bound, ">=": (v) => v >= bound, "=": (v) => v === bound,
    }[sign];
    return (row) => column.values[row] !== null && compare(column.values[row]);
  });

  const choose = () => {
    let tests;
    byId("filter-error").textContent = "";
    try {
      tests = parse(byId("filter").value);
    } catch (error) {
      byId("filter-error").textContent = error.message;
      return;
    }
    if (byId("only-outliers").checked) tests.push((row) => isOutlier[row]);
    const rows = [];
    let tilts = 0;
    for (let row = 0; row < size; row++) {
      const kept = tests.every((test) => test(row));
      state.isChosen[row] = kept;
      if (kept) { rows.push(row); tilts += data.ends[row] - begin(row); }
    }
    state.rows = rows;
    order();
    byId("count").textContent = rows.length === size
      ? plural(size, "tomogram") : `${rows.length.toLocaleString("en")} of ${plural(size, "tomogram")}, ${plural(tilts, "tilt")}`;
  };

  const order = () => {
    if (state.sort === null) { state.rows.sort((a, b) => a - b); return; }
    const values = state.sort === "name" ? rank : columns.get(state.sort).values, sign = state.descending ? -1 : 1;
    state.rows.sort((a, b) => {
      const x = values[a], y = values[b];
      if (x === null || y === null) return (x === null) - (y === null) || a - b;
      return sign * (x - y) || a - b;
    });
  };

  // ---- Table: only the rows in sight are in the document ---------------------------------------------------------

  const table = byId("table"), head = table.tHead.rows[0], body = table.tBodies[0], scroller = byId("scroller");
  const makeHead = () => {
    const titles = [{ key: "name", title: "Tomogram", unit: "", of: "" }, ...data.columns];
    for (const { key, title, unit, of } of titles) {
      const button = element("button", { type: "button" }, element("span", { textContent: title }));
      button.append(element("small", { textContent: [of, unit].filter(Boolean).join(", ") || "\u00a0" }));
      button.addEventListener("click", () => {
        state.descending = state.sort === key ? !state.descending : key !== "name";
        state.sort = key;
        for (const cell of head.cells) cell.setAttribute("aria-sort", "none");
        button.parentNode.setAttribute("aria-sort", state.descending ? "descending" : "ascending");
        order();
        scroller.scrollTop = 0;
        drawTable();
      });
      const cell = element("th", { scope: "col" }, button);
      cell.dataset.key = key;
      cell.setAttribute("aria-sort", "none");
      head.append(cell);
    }
    table.setAttribute("aria-colcount", titles.length);
  };

  const cellsOf = (row) => [
    element("td", { textContent: data.names[row], title: data.names[row] }),
    ...data.columns.map(({ key, values }) => {
      const score = scores.get(key).get(row);
      const cell = element("td", { textContent: text(values[row]) });
      if (score !== undefined) {
        cell.className = "out";
        cell.title = `outlier: robust z-score ${score}`;
        cell.append(element("span", { className: "flag", textContent: "●", ariaLabel: "outlier", role: "img" }));
      }
      return cell;
    }),
  ];

  const space = (rows) => {
    const cell = element("td", { colSpan: data.columns.length + 1 });
    cell.style.height = `${rows * ROW_PX}px`;
    const line = element("tr", { className: "space" }, cell);
    line.setAttribute("aria-hidden", "true");
    return line;
  };

  const drawTable = () => {
    const first = Math.max(0, Math.floor(scroller.scrollTop / ROW_PX) - 8);
    const last = Math.min(state.rows.length, first + Math.ceil(scroller.clientHeight / ROW_PX) + 16);
    const lines = state.rows.slice(first, last).map((row, i) => {
      const line = element("tr", { id: `row-${row}` }, ...cellsOf(row));
      line.dataset.row = row;
      line.setAttribute("aria-rowindex", first + i + 2);
      line.setAttribute("aria-selected", row === state.selected);
      return line;
    });
    if (!state.rows.length) {
      lines.push(element("tr", { className: "space" },
        element("td", { className: "nothing", colSpan: data.columns.length + 1, textContent: "No tomogram passes the filter." })));
    }
    body.replaceChildren(space(first), ...lines, space(state.rows.length - last));
    table.setAttribute("aria-rowcount", state.rows.length + 1);
    const isInSight = state.rows.slice(first, last).includes(state.selected);
    if (isInSight) body.setAttribute("aria-activedescendant", `row-${state.selected}`);
    else body.removeAttribute("aria-activedescendant");
  };

  /** Scroll the table, and only it, so far that the selected row is seen. */
  const reveal = () => {
    const at = state.rows.indexOf(state.selected);
    if (at < 0) return;
    const height = scroller.clientHeight - head.offsetHeight - ROW_PX;
    if (at * ROW_PX < scroller.scrollTop) scroller.scrollTop = at * ROW_PX;
    else if (at * ROW_PX > scroller.scrollTop + height) scroller.scrollTop = at * ROW_PX - height;
  };

  const step = (by) => {
    if (!state.rows.length) return;
    const at = state.rows.indexOf(state.selected);
    select(state.rows[Math.max(0, Math.min(state.rows.length - 1, at < 0 ? 0 : at + by))]);
  };

  const listenToTable = () => {
    let isAsked = false;
    scroller.addEventListener("scroll", () => {
      if (isAsked) return;
      isAsked = true;
      requestAnimationFrame(() => { isAsked = false; drawTable(); });
    });
    body.addEventListener("click", (event) => {
      const line = event.target.closest("tr[data-row]");
      if (line) select(Number(line.dataset.row));
    });
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10, Home: -Infinity, End: Infinity };
    body.addEventListener("keydown", (event) => {
      if (!(event.key in steps)) return;
      event.preventDefault();
      step(steps[event.key]);
    });
  };

  // ---- Charts ----------------------------------------------------------------------------------------------------

  const views = { distributions: new Map(), series: new Map(), scatter: null };

  /** A specification with the colours of the page's style in place of their names. */
  const coloured = (spec, style) =>
    JSON.parse(JSON.stringify(spec).replace(/"(--[a-z]+)"/g, (_, name) => JSON.stringify(style.getPropertyValue(name).trim())));

  const draw = async (place, spec, rows = {}, renderer = "svg") => {
    const style = getComputedStyle(document.documentElement);
    const ink = style.getPropertyValue("--soft").trim(), line = style.getPropertyValue("--line").trim();
    const font = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif";
    const config = {
      background: "transparent", font, view: { stroke: null },
      axis: {
        labelColor: ink, titleColor: ink, gridColor: line, domainColor: line, tickColor: line, titleFontWeight: 500,
        labelFontSize: 11, titleFontSize: 12, titlePadding: 6, labelFlush: false,
      },
      axisX: { grid: false },
    };
    const { config: _, ...rest } = coloured(spec, style);
    // What a chart has at first stands in its specification: it is drawn once.
    for (const { data: own } of rest.layer ?? [rest]) if (own?.name in rows) own.values = rows[own.name];
    const whole = { ...rest, width: "container", autosize: { type: "fit", contains: "padding" }, config };
    // A tomogram without tilts is no reason to warn of scales over nothing.
    const { view } = await vegaEmbed(place, whole, { renderer, actions: false, logLevel: ERRORS_ONLY });
    return view;
  };

  const fill = (view, rows) => {
    for (const [name, values] of Object.entries(rows)) view.data(name, values);
    view.runAsync();
  };

  const counted = (key) => {
    const { begin: low, width, counts } = data.distributions[key];
    if (state.rows.length === size) return counts;
    const values = curves.get(key), found = new Int32Array(counts.length);
    for (const row of state.rows) {
      for (let i = begin(row); i < data.ends[row]; i++) {
        const bin = Math.floor((values[i] - low) / width);
        if (bin >= 0 && bin < found.length) found[bin]++;
      }
    }
    return found;
  };

  const binsOf = (key) => {
    const { begin: low, width, counts } = data.distributions[key], chosen = counted(key);
    return counts.map((all, i) => ({ begin: low + i * width, end: low + (i + 1) * width, all, chosen: chosen[i] }));
  };

  const markOf = (key) => {
    const { of, values } = columns.get(key);
    return state.selected < 0 || of !== "median" || values[state.selected] === null ? [] : [{ at: values[state.selected] }];
  };

  const pointsOf = (key) => {
    const { values } = columns.get(key), score = scores.get(key), points = [];
    for (let row = 0; row < size; row++) {
      if (values[row] === null) continue;
      const look = row === state.selected ? "selected" : !state.isChosen[row] ? "quiet" : score.has(row) ? "outlier" : "chosen";
      points.push({ tomogram: row + 1, name: data.names[row], value: values[row], state: look });
    }
    return points;
  };

  const curveOf = (key) => {
    const angle = curves.get("angle"), value = curves.get(key), dose = curves.get("dose"), rows = [];
    if (state.selected < 0) return rows;
    for (let i = begin(state.selected); i < data.ends[state.selected]; i++) {
      if (Number.isFinite(value[i]) && Number.isFinite(angle[i])) {
        rows.push({ angle: short(angle[i]), value: short(value[i]), dose: dose ? short(dose[i]) : null });
      }
    }
    return rows;
  };

  const drawScatter = async () => {
    const spec = structuredClone(data.scatter), column = columns.get(state.metric);
    spec.encoding.y.title = column.of ? `${withUnit(column)}, ${column.of}` : withUnit(column);
    spec.encoding.tooltip[1].title = column.title;
    spec.description = `${column.title} of each tomogram`;
    views.scatter?.finalize();
    views.scatter = await draw(byId("scatter"), spec, { points: pointsOf(state.metric) }, size > 1000 ? "canvas" : "svg");
    views.scatter.addEventListener("click", (_, item) => { if (item?.datum?.tomogram) select(item.datum.tomogram - 1); });
  };

  const card = (place, key, note = "") => {
    const chart = element("div", { className: "chart", id: `${place}-${key}` });
    const figure = element("figure", { className: "card" }, element("h3", { textContent: columns.get(key).title }), chart);
    if (note) figure.append(element("p", { className: "note", textContent: note }));
    byId(place).append(figure);
    return chart;
  };

  const drawCharts = async () => {
    for (const view of [...views.distributions.values(), ...views.series.values()]) view.finalize();
    byId("distributions").replaceChildren();
    byId("series").replaceChildren();
    await drawScatter();
    for (const [key, { spec, beyond }] of Object.entries(data.distributions)) {
      const place = card("distributions", key, beyond ? `${plural(beyond, "tilt")} beyond the axis` : "");
      views.distributions.set(key, await draw(place, spec, { bins: binsOf(key), mark: markOf(key) }));
    }
    for (const [key, spec] of Object.entries(data.series)) {
      views.series.set(key, await draw(card("series", key), spec, { curve: curveOf(key) }));
    }
    if (data.particles) {
      byId("particles-section").hidden = false;
      await draw(byId("particles"), data.particles);
    }
  };

  // ---- What changes what -----------------------------------------------------------------------------------------

  let waiting = 0;
  /** The table follows each key; charts wait until the hand rests. */
  const refreshChosen = () => {
    choose();
    scroller.scrollTop = 0;
    drawTable();
    refreshButtons();
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      for (const [key, view] of views.distributions) fill(view, { bins: binsOf(key) });
      if (views.scatter) fill(views.scatter, { points: pointsOf(state.metric) });
    }, 60);
  };

  const refreshButtons = () => {
    const at = state.rows.indexOf(state.selected);
    byId("previous").disabled = !state.rows.length || at === 0;
    byId("next").disabled = !state.rows.length || at === state.rows.length - 1;
  };

  const select = (row) => {
    state.selected = row;
    const unlike = data.columns.filter(({ key }) => scores.get(key).has(row));
    byId("h-selected").textContent = data.names[row];
    byId("selected-note").textContent = [
      plural(data.ends[row] - begin(row), "tilt"),
      ...("particles" in Object.fromEntries(columns) ? [plural(columns.get("particles").values[row], "particle")] : []),
      ...unlike.map(({ key, title, unit, values }) => `outlier in ${title}: ${text(values[row])}${unit ? ` ${unit}` : ""}, z = ${scores.get(key).get(row)}`),
    ].join(" · ");
    reveal();
    drawTable();
    for (const [key, view] of views.series) fill(view, { curve: curveOf(key) });
    for (const [key, view] of views.distributions) fill(view, { mark: markOf(key) });
    if (views.scatter) fill(views.scatter, { points: pointsOf(state.metric) });
    refreshButtons();
  };

  for (const { key, title } of data.columns) byId("metric").append(new Option(title, key));
  byId("metric").value = state.metric;
  byId("metric").addEventListener("change", (event) => { state.metric = event.target.value; drawScatter(); });
  byId("previous").addEventListener("click", () => step(-1));
  byId("next").addEventListener("click", () => step(1));
  byId("bar").addEventListener("submit", (event) => event.preventDefault());
  byId("only-outliers").addEventListener("change", refreshChosen);
  byId("filter").addEventListener("input", refreshChosen);
  byId("bar").hidden = false;
  makeHead();
  listenToTable();
  choose();
  select(Math.max(0, isOutlier.indexOf(1)));
  await drawCharts();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawCharts);
  isDrawn();
})();
