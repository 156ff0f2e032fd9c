// Flame graphs: https://github.com/spiermar/d3-flame-graph.

const KINDS = ['go', 'border', 'c', 'kernel'];
const KIND_NAMES = ['Go', 'border', 'C', 'kernel'];

/** Makes a tree of frames that come with their depths, outer ones first. */
function tree(graph) {
  const open = [];
  for (const [depth, name, kind, value, before] of graph.nodes) {
    const frame = { name: data.flames.names[name], kind, value, before, children: [] };
    open.length = depth;
    if (depth > 0) open[depth - 1].children.push(frame);
    open.push(frame);
  }
  return open[0];
}

/** The size of the frames that match, each with all that it calls. */
function matched(frame, matches) {
  if (matches(frame.name)) return frame.value;
  return frame.children.reduce((sum, child) => sum + matched(child, matches), 0);
}

/** A colour from blue, for what is gone, to red, for what is new. */
function changeColor({ value, before }) {
  const share = (value - before) / Math.max(value, before);
  return `color-mix(in srgb, ${color(share > 0 ? 'more' : 'less')} ${Math.round(Math.abs(share) * 100)}%, ${color('kernel')})`;
}

/** Fills a view with the flame graphs. Returns what keys do in it. */
function showFlames(view) {
  const graphs = data.flames.graphs;
  const which = element('select', { ariaLabel: 'Value' }, ...graphs.map((graph, at) => new Option(graph.title, at)));
  const search = element('input', { type: 'search', placeholder: 'search: name or expression', ariaLabel: 'Search frames' });
  const reset = element('button', { textContent: 'whole graph' });
  const found = element('span');
  const legend = element('span', { className: 'legend' }, ...KINDS.map((kind, at) => {
    const square = element('i');
    square.style.background = `var(--${kind})`;
    return element('span', {}, square, KIND_NAMES[at]);
  }));
  const byChange = element('input', { type: 'checkbox', checked: true });
  const change = element('label', {}, byChange, ' red: more than before, blue: less');
  const holder = element('div', { className: 'flame', tabIndex: 0 });
  const line = element('div', { className: 'line mono' });
  view.classList.add('filled');
  view.append(element('div', { className: 'tools' }, which, search, reset, legend, change, found), holder, line);

  let chart, graph, root, cursor;
  const size = (value) => (graph.isTime ? time(value) : `${count(value)} crossings`);
  // Sizes are those of the data: the library sets others while it zooms.
  const before = (frame) => {
    if (!graph.hasBefore) return '';
    return frame.before > 0 ? `; before: ${size(frame.before)}, ${signed(frame.value / frame.before - 1)}` : '; new';
  };
  const describe = ({ data: frame }) => `${frame.name}: ${size(frame.value)}, ${percent(frame.value / graph.nodes[0][3])}${before(frame)}`;
  const fill = (frame) => (graph.hasBefore && byChange.checked ? changeColor(frame) : color(KINDS[frame.kind]));
  const draw = () => {
    graph = graphs[which.value];
    change.hidden = !graph.hasBefore;
    cursor = null;
    holder.replaceChildren();
    chart = flamegraph.default().width(Math.max(holder.clientWidth - 4, 400)).cellHeight(18).inverted(true).minFrameSize(1)
      .transitionDuration(0).sort((one, other) => other.value - one.value).setLabelHandler(describe)
      .setColorMapper((node) => (node.highlight ? color('found') : fill(node.data)))
      .setSearchMatch((node, term) => matcher(term)(node.data.name))
      .setSearchHandler(() => {})
      .setDetailsHandler((node) => { line.textContent = node ? describe(node) : ''; })
      .onClick((node) => point(node));
    root = tree(graph);
    d3.select(holder).datum(root).call(chart);
    line.textContent = graph.leftOut > 0 ? `${count(graph.leftOut)} frames below 0.005 % of the whole, and what they call, are left out` : '';
    find();
  };
  // The library's own sum is of the sizes that it sets while it zooms.
  const find = () => {
    if (search.value) chart.search(search.value);
    else chart.clear();
    found.textContent = search.value ? `${percent(matched(root, matcher(search.value)) / root.value)} of the whole matched` : '';
  };
  const frames = () => d3.select(holder).selectAll('g.frame');
  const point = (node) => {
    cursor = node;
    frames().classed('cursor', (other) => other === node);
    line.textContent = describe(node);
    const frame = frames().filter((other) => other === node).node();
    if (frame) frame.scrollIntoView({ block: 'nearest' });
  };
  const move = (to) => {
    const drawn = new Set(frames().data());
    const next = cursor && drawn.has(cursor) ? to(cursor) : [...drawn].find((node) => !node.parent);
    if (next && drawn.has(next)) point(next);
  };
  const sibling = (step) => (node) => {
    const all = [...(node.parent ? node.parent.children : [node])].sort((one, other) => one.x0 - other.x0);
    return all[all.indexOf(node) + step];
  };
  const first = (node) => [...(node.children || [])].sort((one, other) => one.x0 - other.x0)[0];
  const whole = () => { chart.resetZoom(); cursor = null; };
  search.addEventListener('input', find);
  which.addEventListener('change', draw);
  byChange.addEventListener('change', draw);
  reset.addEventListener('click', whole);
  draw();
  return {
    '/': () => search.focus(),
    v: () => { which.value = (Number(which.value) + 1) % graphs.length; draw(); },
    ArrowDown: () => move(first), j: () => move(first), ArrowUp: () => move((node) => node.parent), k: () => move((node) => node.parent),
    ArrowRight: () => move(sibling(1)), l: () => move(sibling(1)), ArrowLeft: () => move(sibling(-1)), h: () => move(sibling(-1)),
    Enter: () => { if (cursor) chart.zoomTo(cursor); },
    0: whole,
    Escape: () => {
      if (search.value) { search.value = ''; search.dispatchEvent(new Event('input')); } else whole();
      search.blur();
    },
    redraw: draw,
  };
}
