// Tables that are sorted and filtered: https://tabulator.info.

/** Rows that are printed of each table. */
const MOST_PRINTED = 100;

/** Fills a view with a table. Returns what keys do in it. */
function showTable(view, sheet) {
  const columns = sheet.columns.map((column, at) => ({
    title: column.head, field: `t${at}`, hozAlign: column.number ? 'right' : 'left', headerHozAlign: column.number ? 'right' : 'left',
    formatter: 'plaintext', cssClass: column.number ? 'number' : 'name', headerTooltip: column.key,
    headerSortStartingDir: column.number ? 'desc' : 'asc', maxWidth: column.number ? undefined : 560,
    sorter: (one, other, oneRow, otherRow) => compare(oneRow.getData()[`s${at}`], otherRow.getData()[`s${at}`]),
  }));
  // The name of a row stays in sight.
  const first = columns.findIndex((_, at) => !sheet.columns[at].number);
  if (first >= 0) columns.unshift({ ...columns.splice(first, 1)[0], frozen: true, maxWidth: 420 });
  const rows = sheet.rows.map((row, index) => {
    const made = { id: index };
    row.forEach((cell, at) => {
      const [text, number] = Array.isArray(cell) ? cell : [cell, cell];
      made[`t${at}`] = text;
      made[`s${at}`] = number;
    });
    return made;
  });
  const search = element('input', { type: 'search', placeholder: 'filter: name or expression', ariaLabel: 'Filter rows' });
  const shown = element('span');
  const holder = element('div', { className: 'sheet', tabIndex: -1 });
  const detail = element('div', { className: 'detail' });
  view.classList.add('filled');
  if (sheet.key === 'change') {
    view.append(element('ul', { className: 'facts' }, ...data.compared.map((fact) => element('li', { textContent: fact }))));
  }
  view.append(element('div', { className: 'tools' }, search, shown), holder, detail);
  const table = new Tabulator(holder, {
    data: rows, columns, layout: 'fitDataFill', height: '100%', selectableRows: 1, selectableRowsRollingSelection: true,
    columnDefaults: { resizable: 'header' }, printAsHtml: true, printRowRange: () => table.getRows('active').slice(0, MOST_PRINTED),
    printFooter: () => {
      const more = table.getDataCount('active') - MOST_PRINTED;
      return element('p', { textContent: more > 0 ? `${count(more)} more rows are not printed.` : '' });
    },
  });
  const names = sheet.columns.flatMap((column, at) => (column.number ? [] : [`t${at}`]));
  const say = (number) => { shown.textContent = number === rows.length ? `${count(number)} rows` : `${count(number)} of ${count(rows.length)} rows`; };
  say(rows.length);
  search.addEventListener('input', () => {
    const matches = matcher(search.value);
    if (search.value) table.setFilter((row) => names.some((name) => matches(row[name])));
    else table.clearFilter();
    say(table.getDataCount('active'));
  });
  table.on('rowSelected', (row) => showDetail(detail, sheet, row.getData()));
  let sorted = null;
  const sort = (step) => {
    const at = sorted === null ? 0 : (sorted.at + step + columns.length) % columns.length;
    sorted = { at, dir: columns[at].headerSortStartingDir };
    table.setSort(columns[at].field, sorted.dir);
  };
  const move = (step) => {
    const all = table.getRows('active');
    if (all.length === 0) return;
    const selected = table.getSelectedRows()[0];
    const at = selected ? all.indexOf(selected) + step : 0;
    const next = all[Math.max(0, Math.min(all.length - 1, at))];
    table.deselectRow();
    next.select();
    next.scrollTo('nearest', false);
  };
  return {
    '/': () => search.focus(),
    '>': () => sort(1),
    '<': () => sort(-1),
    i: () => {
      if (sorted === null) sort(1);
      sorted.dir = sorted.dir === 'desc' ? 'asc' : 'desc';
      table.setSort(columns[sorted.at].field, sorted.dir);
    },
    ArrowDown: () => move(1), j: () => move(1), ArrowUp: () => move(-1), k: () => move(-1),
    PageDown: () => move(20), PageUp: () => move(-20), Home: () => move(-Infinity), End: () => move(Infinity),
    Escape: () => { search.value = ''; search.dispatchEvent(new Event('input')); search.blur(); },
    redraw: () => table.redraw(true),
  };
}

function compare(one, other) {
  const isNumber = (value) => typeof value === 'number';
  if (isNumber(one) && isNumber(other)) return one - other;
  // An unknown value is less than any number.
  if (isNumber(one) !== isNumber(other)) return isNumber(one) ? 1 : -1;
  return one < other ? -1 : one > other ? 1 : 0;
}

/** Shows under the table what more is known of a row. */
function showDetail(detail, sheet, row) {
  detail.replaceChildren();
  if (sheet.key !== 'functions') return;
  if (!data.histograms[row.id]) {
    detail.append(element('p', { className: 'faint', textContent: `The page has histograms of the first ${count(data.histograms.length)} functions only.` }));
    return;
  }
  const [c, border] = data.histograms[row.id];
  showHistogram(detail, 'time in C', c, color('in-c'));
  showHistogram(detail, 'time at the border', border, color('p-wait'));
}
