"use strict";
(() => {
  const PRINTED_WIDTH = 680;
  const GRID = "rgba(128, 128, 128, .28)";
  const config = { responsive: true, displaylogo: false, showSendToCloud: false };
  const charts = () => document.querySelectorAll("figure.chart");

  /** The layout's colours: those of the text around the chart, on its ground. */
  const colours = (figure, ink = getComputedStyle(figure).color) => ({
    paper_bgcolor: "rgba(0, 0, 0, 0)",
    plot_bgcolor: "rgba(0, 0, 0, 0)",
    "font.color": ink,
    "xaxis.gridcolor": GRID,
    "yaxis.gridcolor": GRID,
    "xaxis.linecolor": GRID,
    "yaxis.linecolor": GRID,
    "xaxis.zerolinecolor": GRID,
    "yaxis.zerolinecolor": GRID,
    "legend.font.color": ink,
  });

  /** Runs plotly.js. It adds style sheets for maps, of which there are none here, unless it finds
   *  an element with the sheet's id: the page's policy allows no such sheet. */
  const load = () => {
    const script = document.createElement("script");
    script.textContent = document.getElementById("charts-library").textContent;
    for (const [, id] of script.textContent.matchAll(/getElementById\("([0-9a-f]{64})"\)/g)) {
      document.head.append(Object.assign(document.createElement("template"), { id }));
    }
    document.head.append(script);
  };

  const draw = async (figure) => {
    const { data, layout } = JSON.parse(figure.querySelector("script").textContent);
    for (const [path, colour] of Object.entries(colours(figure))) {
      const names = path.split("."), last = names.pop();
      names.reduce((part, name) => (part[name] ??= {}), layout)[last] = colour;
    }
    await Plotly.newPlot(figure, data, layout, config);
    figure.dataset.drawn = "";
  };

  const restyle = (change) =>
    charts().forEach((figure) => figure.layout && Plotly.relayout(figure, change(figure)));

  addEventListener("load", () => setTimeout(async () => {
    load();
    await Promise.all([...charts()].map(draw));
    performance.mark("charts");
  }));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => restyle(colours));
  addEventListener("beforeprint", () =>
    restyle((figure) => ({ ...colours(figure, "#000"), autosize: false, width: PRINTED_WIDTH })));
  addEventListener("afterprint", () =>
    restyle((figure) => ({ ...colours(figure), width: null, autosize: true })));
})();
