// The views and the keys.

function showOverview(view) {
  view.append(element('ul', { className: 'facts' }, ...data.facts.map((fact) => element('li', { textContent: fact }))));
  view.append(element('h2', { textContent: 'Advice' }));
  if (data.advice.length === 0) view.append(element('p', { className: 'faint', textContent: 'No advice is good news.' }));
  for (const one of data.advice) {
    const place = one.caller ? `, called by ${one.caller}` : '';
    view.append(element('div', { className: 'advice' },
      element('p', {}, element('span', { className: 'kind', textContent: one.kind }), ': ', element('span', { className: 'mono', textContent: one.function + place })),
      element('p', { textContent: one.why }), element('p', { className: 'faint', textContent: one.what })));
  }
  if (data.notes.length > 0) view.append(element('h2', { textContent: 'Notes' }));
  view.append(element('ul', { className: 'facts' }, ...data.notes.map((note) => element('li', { textContent: note }))));
  view.append(element('p', { className: 'faint' }, 'Keys: ', element('kbd', { textContent: '?' })));
  return {};
}

function showSlowest(view) {
  for (const one of data.slowest) {
    const goroutine = one.goid ? `, goroutine ${one.goid}` : '';
    const labels = one.labels ? `, labels ${one.labels}` : '';
    const state = one.open ? ' so far' : '';
    const blocked = one.blocked.map(([call, nanos]) => `${call ?? '[not known in what]'} ${time(nanos)}`).join(', ');
    view.append(element('div', { className: 'advice' },
      element('p', {}, element('span', { className: 'kind', textContent: `${time(one.ns)}${state}` }), ' ', element('span', { className: 'mono', textContent: one.function ?? '[unknown]' }),
        element('span', { className: 'faint', textContent: ` at ${time(one.at)}, thread ${one.tid}${one.pid ? ` of process ${one.pid}` : ''}${goroutine}${labels}` })),
      blocked ? element('p', { textContent: `blocked in ${blocked}` }) : null,
      element('p', { className: 'mono faint', textContent: one.frames.join(' < ') })));
  }
  return {};
}

const views = [];
function add(key, title, fill) {
  const view = element('section', { className: 'view', id: `view-${key}`, role: 'tabpanel', ariaLabel: title });
  const tab = element('button', { textContent: title, role: 'tab', title: views.length < 10 ? `${title} (${(views.length + 1) % 10})` : title });
  tab.addEventListener('click', () => show(key));
  document.getElementById('views').append(view);
  document.getElementById('tabs').append(tab);
  views.push({ key, title, view, tab, fill, keys: null });
}

let current = null;
function show(key) {
  const next = views.find((one) => one.key === key) ?? views[0];
  for (const one of views) {
    one.view.classList.toggle('shown', one === next);
    one.tab.ariaSelected = String(one === next);
  }
  current = next;
  make(next);
  history.replaceState(null, '', `#${next.key}`);
}

/** Fills a view when it is first shown, and draws it anew when the theme or the width has changed since. */
function make(one) {
  if (one.keys === null) {
    one.keys = one.fill(one.view);
  } else if (one.isOld && one.keys.redraw) {
    one.keys.redraw();
  }
  one.isOld = false;
}

function redraw() {
  views.forEach((one) => { one.isOld = true; });
  make(current);
}

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  if (current) redraw();
}

function showHelp() {
  const rows = [
    ['1 ... 9, 0', 'a view'], ['[ ]', 'previous, next view'], ['/', 'filter rows, or search frames'], ['Esc', 'clear the search; the whole graph or time'],
    ['\u2191 \u2193', 'row; frame outside, inside'], ['\u2190 \u2192', 'frame beside; earlier, later'], ['< >', 'sort by the previous, next column'],
    ['i', 'reverse the order'], ['v', 'next value of the flame graph'], ['Enter', 'zoom into the frame'], ['+ -', 'zoom the timeline'], ['0', 'in a graph or the timeline: all of it'],
    ['t', 'light or dark'], ['?', 'these keys'],
  ];
  const help = document.getElementById('help');
  help.replaceChildren(element('table', {}, ...rows.map(([key, what]) =>
    element('tr', {}, element('td', {}, element('kbd', { textContent: key })), element('td', { textContent: what })))));
  help.showModal();
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || document.getElementById('help').open) return;
  const isTyping = event.target.matches('input, select');
  const own = current.keys[event.key];
  if (isTyping && event.key !== 'Escape') return;
  const at = '1234567890'.indexOf(event.key);
  const step = { '[': -1, ']': 1 }[event.key];
  if (own) own();
  else if (at >= 0 && views[at]) show(views[at].key);
  else if (step) show(views[(views.indexOf(current) + step + views.length) % views.length].key);
  else if (event.key === 't') setTheme(document.documentElement.dataset.theme === 'dark' ? 'light' : 'dark');
  else if (event.key === '?') showHelp();
  else return;
  event.preventDefault();
}

document.title = `${data.program} - cgoprof`;
document.getElementById('program').textContent = data.program;
add('overview', 'Overview', showOverview);
for (const sheet of data.sheets.slice(0, 2)) add(sheet.key, sheet.title, (view) => showTable(view, sheet));
if (data.flames.graphs.length > 0) add('flame', 'Flame graph', showFlames);
if (data.timeline !== null) add('timeline', 'Timeline', showTimeline);
if (data.slowest.length > 0) add('slowest', 'Slowest', showSlowest);
for (const sheet of data.sheets.slice(2)) add(sheet.key, sheet.title, (view) => showTable(view, sheet));
const dark = window.matchMedia('(prefers-color-scheme: dark)');
setTheme(dark.matches ? 'dark' : 'light');
dark.addEventListener('change', () => setTheme(dark.matches ? 'dark' : 'light'));
document.getElementById('theme').addEventListener('click', () => setTheme(document.documentElement.dataset.theme === 'dark' ? 'light' : 'dark'));
document.getElementById('keys').addEventListener('click', showHelp);
document.addEventListener('keydown', onKey);
window.addEventListener('resize', () => { clearTimeout(window.resizing); window.resizing = setTimeout(redraw, 150); });
show(location.hash.slice(1));
