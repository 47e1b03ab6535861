"use strict";
(() => {
  const DataTable = globalThis.tables.default;
  const SEVERITIES = ["UNTRIAGED", "INFORMATIONAL", "LOW", "MEDIUM", "HIGH", "CRITICAL"];
  const ON_PAPER = 200;
  const FEW = 10;
  const text = { render: DataTable.render.text(), type: "string" };
  const sort = { target: 0, content: ["order", ["search"]] };
  const pick = { target: 0, content: ["order", ["searchList"]] };
  const options = {
    autoWidth: false,
    deferRender: true,
    pageLength: 25,
    lengthMenu: [10, 25, 100, 500],
    language: { search: "Filter", info: "_START_ to _END_ of _TOTAL_", infoFiltered: "(of _MAX_)" },
    ordering: { indicators: false, handler: true },
  };
  const made = [];

  /** How each kind of column behaves; what it shows is always text, never markup. */
  const kinds = {
    text: { ...text, columnControl: sort },
    long: { ...text, columnControl: sort, className: "long" },
    number: { ...text, columnControl: sort, className: "number", type: "num" },
    choice: { ...text, columnControl: pick },
    severity: {
      render: (value, type) =>
        type === "sort" ? SEVERITIES.indexOf(value) : text.render.display(value),
      type: "num",
      columnControl: pick,
      createdCell: (cell, value) => { cell.dataset.severity = value; },
    },
  };

  const column = ({ title, kind }) => {
    const { createdCell, ...rest } = kinds[kind];
    return {
      ...rest,
      defaultContent: "",
      createdCell: (cell, value) => {
        cell.dataset.label = title;
        createdCell?.(cell, value);
      },
    };
  };

  const make = (table, form) => {
    const few = (form.data?.length ?? table.tBodies[0].rows.length) <= FEW;
    const bare = few ? { paging: false, info: false, searching: true } : {};
    made.push(new DataTable(table, { ...options, ...bare, ...form }));
  };

  const parsed = (table, part) =>
    JSON.parse(table.parentElement.querySelector(`script.${part}`).textContent);

  const dark = matchMedia("(prefers-color-scheme: dark)");
  const scheme = () => document.documentElement.classList.toggle("dark", dark.matches);
  dark.addEventListener("change", scheme);
  scheme();

  const fill = (table) => {
    const { columns, order } = parsed(table, "form");
    make(table, { data: parsed(table, "rows"), columns: columns.map(column), order });
  };
  const improve = (table) => make(table, { order: [], columnControl: sort });

  /** Each in a task of its own, so that the page answers in between. */
  addEventListener("load", () => {
    const each = (selector, does) =>
      document.querySelectorAll(selector).forEach((table) => setTimeout(does, 0, table));
    each("table.data", fill);
    each("table.sortable", improve);
    setTimeout(() => performance.mark("tables"));
  });
  addEventListener("beforeprint", () => made.forEach((table) => table.page.len(ON_PAPER).draw()));
  addEventListener("afterprint", () =>
    made.forEach((table) => table.page.len(options.pageLength).draw()));
})();
