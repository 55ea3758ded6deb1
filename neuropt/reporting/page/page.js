"use strict";
// The page's own script: draws the figures in the colours of the page, sorts tables, and, where the page is served, asks for news.
(() => {
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const themes = ["auto", "light", "dark"];
  let chosen = "auto", printing = false, figures = {};

  // ---- colours

  const stored = { get: () => { try { return localStorage.getItem("neuropt-theme"); } catch { return null; } },
    set: (name) => { try { localStorage.setItem("neuropt-theme", name); } catch { /* a browser may forbid it to files */ } } };

  function applyTheme() {
    const isDark = !printing && (chosen === "dark" || (chosen === "auto" && dark.matches));
    root.dataset.theme = isDark ? "dark" : "light";
    const button = document.getElementById("theme");
    button.textContent = { auto: "Auto", light: "Light", dark: "Dark" }[chosen];
    button.setAttribute("aria-label", "Colours: " + { auto: "as the system", light: "light", dark: "dark" }[chosen]);
    drawAll();
  }

  const variable = (name) => getComputedStyle(root).getPropertyValue(name).trim();

  function mixed(hex, opacity) {
    const n = parseInt(hex.length === 4 ? hex.slice(1).replace(/./g, "$&$&") : hex.slice(1), 16);
    return `rgba(${n >> 16},${(n >> 8) & 255},${n & 255},${opacity})`;
  }

  // opaque, since plotly chooses the colour of a cell's text by that of the cell
  function between(one, other, share) {
    const parts = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16)), far = parts(other);
    return `rgb(${parts(one).map((x, i) => Math.round(x + share * (far[i] - x)))})`;
  }

  // "@1" is the first colour of the palette, "@ink/0.2" the text's at an opacity, "@scale" a scale from the paper to the first colour
  function coloured(value) {
    if (typeof value === "string" && value[0] === "@") {
      const [name, opacity] = value.slice(1).split("/");
      if (name === "scale") return [[0, variable("--raised")], [0.35, between(variable("--raised"), variable("--c1"), 0.35)], [1, variable("--c1")]];
      const hex = variable(/^\d$/.test(name) ? "--c" + name : "--" + name);
      return opacity ? mixed(hex, opacity) : hex;
    }
    if (Array.isArray(value)) return value.map(coloured);
    if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, coloured(v)]));
    return value;
  }

  // ---- figures

  function layoutOf(own, narrow) {
    const axis = { gridcolor: variable("--grid"), linecolor: variable("--line"), zeroline: false, automargin: true,
      ticks: "outside", ticklen: 4, tickcolor: variable("--line"), title: { standoff: 10 } };
    const base = {
      font: { family: getComputedStyle(document.body).fontFamily, size: narrow ? 11 : 12.5, color: variable("--ink") },
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", margin: { l: 48, r: 16, t: 12, b: 40 },
      legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", xanchor: "left", font: { size: narrow ? 10.5 : 12 } },
      hoverlabel: { bgcolor: variable("--raised"), bordercolor: variable("--line"), font: { color: variable("--ink") }, align: "left" },
      hovermode: "closest", dragmode: matchMedia("(pointer: coarse)").matches ? false : "zoom",
      xaxis: {}, yaxis: {},
    };
    const layout = { ...base, ...coloured(own) };
    for (const name of Object.keys(layout)) {
      if (/^[xy]axis\d*$/.test(name)) {
        layout[name] = { ...axis, ...layout[name] };
        if (typeof layout[name].title === "string") layout[name].title = { text: layout[name].title, standoff: 10 };
      }
    }
    return layout;
  }

  const config = { responsive: true, displaylogo: false, toImageButtonOptions: { format: "svg" },
    modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d", "zoomIn2d", "zoomOut2d"] };

  function draw(plot) {
    const views = figures[plot.dataset.figure];
    if (!views || !window.Plotly) return;
    const picked = [...document.querySelectorAll(`select[data-figure="${plot.dataset.figure}"]`)].map((s) => s.value);
    // a select holds texts, JSON holds them escaped for plotly
    const plain = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
    const view = views.find((v) => v.choice.every((word, i) => word === picked[i] || word === plain(picked[i])));
    if (!view) { Plotly.purge(plot); plot.innerHTML = '<p class="failed">There is no such curve in these data.</p>'; return; }
    if (!plot.querySelector(".main-svg")) plot.textContent = "";
    Plotly.react(plot, view.traces.map(coloured), layoutOf(view.layout, plot.clientWidth < 520), config);
  }

  function drawAll() { document.querySelectorAll(".plot").forEach(draw); }

  async function loadPlotly() {
    const packed = document.getElementById("plotly").textContent;
    const bytes = Uint8Array.from(atob(packed), (c) => c.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    const script = document.createElement("script");
    script.textContent = await new Response(stream).text();
    document.head.append(script);
  }

  // ---- tables

  function sortBy(table, column, direction) {
    const body = table.tBodies[0], numeric = table.tHead.rows[0].cells[column].classList.contains("number");
    const key = (row) => {
      const cell = row.cells[column], order = cell.dataset.order;
      if (order === undefined) return numeric || cell.textContent === "–" ? null : cell.textContent;
      return numeric ? Number(order) : order;
    };
    const rows = [...body.rows].map((row) => [key(row), row]);
    rows.sort(([a], [b]) => {
      if (a === null || b === null) return (a === null) - (b === null);
      return direction * (numeric ? a - b : String(a).localeCompare(String(b), undefined, { numeric: true }));
    });
    body.append(...rows.map(([, row]) => row));
    [...table.tHead.rows[0].cells].forEach((cell, i) => {
      if (i === column) cell.setAttribute("aria-sort", direction > 0 ? "ascending" : "descending");
      else cell.removeAttribute("aria-sort");
    });
  }

  function filter(select) {
    const column = Number(select.dataset.column), table = document.getElementById(select.dataset.table);
    for (const row of table.rows) row.cells[column].hidden = select.value !== "";
    for (const row of table.tBodies[0].rows) row.hidden = select.value !== "" && row.cells[column].textContent !== select.value;
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("thead button");
    if (!button) return;
    const heading = button.closest("th");
    sortBy(button.closest("table"), heading.cellIndex, heading.getAttribute("aria-sort") === "ascending" ? -1 : 1);
  });
  document.addEventListener("change", (event) => {
    const { figure, table } = event.target.dataset;
    if (table) filter(event.target);
    if (figure) draw(document.querySelector(`.plot[data-figure="${figure}"]`));
  });

  // ---- news of a page that is served

  function remember() {
    const main = document.getElementById("main");
    return {
      picked: [...main.querySelectorAll("select")].map((s) => [s.dataset.figure ?? s.dataset.table, s.value]),
      sorted: [...main.querySelectorAll("th[aria-sort]")].map((th) => [th.closest("table").id, th.cellIndex, th.ariaSort === "ascending" ? 1 : -1]),
      open: [...main.querySelectorAll("details")].map((d) => d.open),
    };
  }

  function restore({ picked, sorted, open }) {
    const main = document.getElementById("main");
    const selects = [...main.querySelectorAll("select")];
    picked.forEach(([of, value], i) => {
      const same = selects[i] && (selects[i].dataset.figure ?? selects[i].dataset.table) === of;
      if (!same || ![...selects[i].options].some((option) => option.value === value)) return;
      selects[i].value = value;
      if (selects[i].dataset.table) filter(selects[i]);
    });
    sorted.forEach(([id, column, direction]) => { const table = document.getElementById(id); if (table) sortBy(table, column, direction); });
    [...main.querySelectorAll("details")].forEach((d, i) => { if (i < open.length) d.open = open[i]; });
  }

  function readFigures() { figures = JSON.parse(document.getElementById("figures").textContent); }

  async function listen() {
    const sign = document.getElementById("live");
    let seen = document.body.dataset.live;
    for (;;) {
      try {
        const answer = await fetch("main?seen=" + seen, { cache: "no-store" });
        if (answer.status === 200) {
          seen = answer.headers.get("X-Version");
          const text = await answer.text(), before = remember(), at = scrollY;
          document.querySelectorAll(".plot").forEach((plot) => window.Plotly && Plotly.purge(plot));
          document.getElementById("main").innerHTML = text;
          readFigures(); restore(before); drawAll(); scrollTo({ top: at, behavior: "instant" });
        }
        sign.textContent = "live"; sign.classList.remove("lost");
      } catch { sign.textContent = "no longer connected"; sign.classList.add("lost"); }
      await new Promise((done) => setTimeout(done, 2000));
    }
  }

  // ---- beginning

  document.getElementById("theme").addEventListener("click", () => {
    chosen = themes[(themes.indexOf(chosen) + 1) % themes.length];
    stored.set(chosen);
    applyTheme();
  });
  dark.addEventListener("change", applyTheme);
  addEventListener("beforeprint", () => { printing = true; applyTheme(); document.querySelectorAll(".plot").forEach((p) => window.Plotly && Plotly.Plots.resize(p)); });
  addEventListener("afterprint", () => { printing = false; applyTheme(); });
  if (themes.includes(stored.get())) chosen = stored.get();
  document.querySelectorAll("select[data-table]").forEach((select) => { select.selectedIndex = 1; filter(select); });
  readFigures();
  applyTheme();
  loadPlotly().then(drawAll, () => {
    document.querySelectorAll(".plot").forEach((plot) => {
      plot.innerHTML = '<p class="failed">This browser is too old to draw figures; their data is in the file named below.</p>';
    });
  }).then(() => { root.dataset.drawn = "yes"; if ("live" in document.body.dataset) listen(); });
})();
