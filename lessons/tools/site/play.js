// Figures with a slider. All numbers were computed when the site was built and stand in the page as JSON (see play.py);
// this module draws the frame that the slider asks for. Plain SVG, no framework, nothing fetched.
"use strict";
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const MARGIN = { top: 12, right: 12, bottom: 44, left: 48 };

  const node = (name, attributes, parent, text) => {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== undefined) made.textContent = text;
    parent.append(made);
    return made;
  };

  // Some five round numbers between low and high: steps of 1, 2 or 5 times a power of ten.
  const ticks = (low, high) => {
    const rough = (high - low) / 5, power = 10 ** Math.floor(Math.log10(rough));
    const step = power * [1, 2, 5, 10].find((m) => m * power >= rough);
    const found = [];
    for (let k = Math.ceil(low / step); k * step <= high + 1e-9; k++) found.push(Number((k * step).toPrecision(6)));
    return found;
  };

  const draw = (figure, data, frame) => {
    const place = figure.querySelector(".play-drawing");
    const width = Math.max(260, place.clientWidth), bars = data.kind === "bars";
    const slanted = bars && (width - 60) / data.x.length < 7 * Math.max(...data.x.map((name) => name.length));
    const bottom = MARGIN.bottom + (slanted ? 34 : 0), height = 300 + (slanted ? 34 : 0);
    const [y0, y1] = data.y_range;
    const [x0, x1] = bars ? [-0.5, data.x.length - 0.5] : [Math.min(...data.x), Math.max(...data.x)];
    const pad = data.kind === "points" ? 0.03 * (x1 - x0) : 0;
    const right = width - MARGIN.right;
    const X = (x) => MARGIN.left + ((x - x0 + pad) / (x1 - x0 + 2 * pad)) * (right - MARGIN.left);
    const Y = (y) => height - bottom - ((y - y0) / (y1 - y0)) * (height - bottom - MARGIN.top);

    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", `${data.title} ${data.slider} ${frame.at}: ${sentence(frame)}`);
    for (const y of ticks(y0, y1)) {
      node("line", { class: "grid", x1: MARGIN.left, x2: right, y1: Y(y), y2: Y(y) }, svg);
      node("text", { class: "tick", x: MARGIN.left - 6, y: Y(y) + 4, "text-anchor": "end" }, svg, String(y));
    }
    const marks = bars ? data.x.map((name, i) => [i, name]) : ticks(x0, x1).map((x) => [x, String(x)]);
    for (const [x, name] of marks) {
      const at = { class: "tick", x: X(x), y: height - bottom + 18, "text-anchor": "middle" };
      if (slanted) Object.assign(at, { "text-anchor": "end", transform: `rotate(-45 ${X(x)} ${at.y - 6})` });
      node("text", at, svg, name);
    }
    node("text", { class: "axis", x: (MARGIN.left + right) / 2, y: height - 6, "text-anchor": "middle" }, svg, data.x_label);
    const middle = (MARGIN.top + height - bottom) / 2;
    node("text", { class: "axis", "text-anchor": "middle", transform: `translate(11 ${middle}) rotate(-90)` }, svg, data.y_label);

    data.series.forEach((series, s) => {
      const colour = `var(--play-${series.colour})`, row = frame.y[s];
      if (bars) {
        const each = (X(1) - X(0)) * 0.8 / data.series.length;
        row.forEach((y, i) => {
          const at = X(i) + (s - data.series.length / 2) * each, top = Math.min(Y(y), Y(0));
          node("rect", { x: at, y: top, width: each * 0.94, height: Math.abs(Y(y) - Y(0)), fill: colour }, svg);
        });
      } else if (data.kind === "points") {
        row.forEach((y, i) => node("circle", { cx: X(data.x[i]), cy: Y(y), r: 3.5, fill: colour, "fill-opacity": 0.6 }, svg));
      } else {
        let path = "";
        row.forEach((y, i) => {
          if (y !== null) path += `${i && row[i - 1] !== null ? "L" : "M"}${X(data.x[i]).toFixed(1)} ${Y(y).toFixed(1)}`;
        });
        node("path", { d: path, fill: "none", stroke: colour, "stroke-width": series.dashed ? 1.6 : 2.4,
          ...(series.dashed ? { "stroke-dasharray": "6 4" } : {}) }, svg);
      }
    });
    if (y0 < 0 && y1 > 0) node("line", { class: "zero", x1: MARGIN.left, x2: right, y1: Y(0), y2: Y(0) }, svg);
    place.replaceChildren(svg);
  };

  const sentence = (frame) => frame.says.map(([what, value]) => `${what} ${value}`).join(", ");

  const say = (figure, frame) => {
    const list = figure.querySelector(".play-says");
    list.replaceChildren(...frame.says.map(([what, value]) => {
      const pair = document.createElement("div");
      for (const [tag, text] of [["dt", what], ["dd", value]]) {
        const item = document.createElement(tag);
        item.textContent = text;
        pair.append(item);
      }
      return pair;
    }));
  };

  const legend = (figure, data) => {
    const place = figure.querySelector(".play-legend");
    place.replaceChildren(...data.series.map((series) => {
      const entry = document.createElement("span"), key = document.createElement("i");
      key.className = series.dashed ? "dashed" : data.kind;
      key.style.color = `var(--play-${series.colour})`;
      entry.append(key, series.name);
      return entry;
    }));
  };

  const start = (figure) => {
    const data = JSON.parse(figure.querySelector("script[type='application/json']").textContent);
    const slider = figure.querySelector("input"), output = figure.querySelector("output");
    const show = () => {
      const frame = data.frames[slider.valueAsNumber];
      output.textContent = frame.at;
      slider.setAttribute("aria-valuetext", `${frame.at}: ${sentence(frame)}`);
      draw(figure, data, frame);
      say(figure, frame);
    };
    figure.querySelector(".play-controls").hidden = false;
    legend(figure, data);
    slider.addEventListener("input", show);
    let width = 0; // the drawing itself changes the height that is observed: only a new width is news
    new ResizeObserver(([entry]) => {
      if (entry.contentRect.width !== width) { width = entry.contentRect.width; show(); }
    }).observe(figure.querySelector(".play-drawing"));
    show();
  };

  document.addEventListener("DOMContentLoaded", () => document.querySelectorAll("figure.play").forEach(start));
})();
