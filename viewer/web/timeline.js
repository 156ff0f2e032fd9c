// The timeline: axes, zoom and cursor are uPlot's (https://github.com/leeoniya/uPlot), the intervals are drawn here.

/** Height of a thread's lane, in pixels. */
const LANE = 22;

/** Kinds of intervals in the order in which they are drawn, with their part of a lane's height from its top. */
const MARKS = [
  { key: 'crossings', color: 'in-c', label: 'in C', from: 0.1, to: 0.8 },
  { key: 'blocked', color: 'blocked', label: 'blocked in C', from: 0.35, to: 0.8 },
  { key: 'waits', color: 'p-wait', label: 'waiting for a P', from: 0.1, to: 0.8 },
  { key: 'locked', color: 'locked', label: 'locked to a goroutine', from: 0.84, to: 0.94 },
];

/** Fills a view with the timeline. Returns what keys do in it. */
function showTimeline(view) {
  const timeline = data.timeline;
  const threads = timeline.threads;
  const legend = element('span', { className: 'legend' }, ...MARKS.map((mark) => {
    const square = element('i');
    square.style.background = `var(--${mark.color})`;
    return element('span', {}, square, mark.label);
  }));
  const notes = ['slow crossings only (record --slow)'];
  if (timeline.dropped > 0) notes.push(`${count(timeline.dropped)} shorter than ${time(timeline.shortest)} left out`);
  if (timeline.droppedOthers > 0) notes.push(`${count(timeline.droppedOthers)} other intervals left out`);
  if (timeline.hiddenThreads > 0) notes.push(`${count(timeline.hiddenThreads)} threads left out that did less`);
  const line = element('div', { className: 'line mono' });
  const holder = element('div', { className: 'lanes' });
  view.classList.add('filled');
  view.append(element('div', { className: 'tools' }, legend, element('span', { textContent: `${notes.join('; ')}; drag to zoom, double-click for all` })), line, holder);

  const sync = uPlot.sync('time');
  const charts = [];
  const setScale = (range) => charts.forEach((chart) => chart.setScale('x', range));
  const draw = () => {
    charts.splice(0).forEach((chart) => chart.destroy());
    const width = Math.max(holder.clientWidth - 20, 500);
    const [ink, grid] = [color('ink'), color('line')];
    const x = { stroke: ink, grid: { stroke: grid, width: 0.5 }, ticks: { stroke: grid }, values: (_, values) => values.map(time) };
    const scale = { time: false, range: (_, least, most) => [least ?? 0, most ?? timeline.duration] };
    const hooks = { setScale: [(chart, key) => {
      if (key !== 'x') return;
      const { min, max } = chart.scales.x;
      charts.filter((other) => other !== chart && (other.scales.x.min !== min || other.scales.x.max !== max))
        .forEach((other) => other.setScale('x', { min, max }));
    }] };
    if (timeline.counters.length > 0) {
      const times = timeline.counters[0].values.map(([at]) => at);
      const colors = [color('in-c'), color('locked'), color('blocked')];
      const series = timeline.counters.map((counter, at) => ({
        label: counter.name, stroke: colors[at], width: 1.5, points: { show: false }, paths: uPlot.paths.stepped({ align: 1 }),
      }));
      const known = timeline.counters.map((counter) => {
        const values = new Map(counter.values);
        return times.map((at) => values.get(at) ?? null);
      });
      charts.push(new uPlot({
        width, height: 170, cursor: { sync: { key: sync.key } }, hooks, scales: { x: scale },
        axes: [x, { stroke: ink, grid: { stroke: grid, width: 0.5 }, ticks: { stroke: grid }, size: 110 }],
        series: [{ label: 'at', value: (_, value) => (value === null ? '' : time(value)) }, ...series],
      }, [times, ...known], holder));
    }
    const lanes = threads.length;
    charts.push(new uPlot({
      width, height: lanes * LANE + 50, legend: { show: false },
      cursor: { sync: { key: sync.key }, y: false, points: { show: false } },
      scales: { x: scale, y: { range: [0, lanes] } },
      axes: [x, {
        stroke: ink, size: 110, grid: { stroke: grid, width: 0.5 }, ticks: { show: false },
        splits: () => threads.map((_, at) => lanes - at - 0.5), values: () => threads.map((thread) => thread.name.slice(0, 15)),
      }],
      series: [{}, { paths: () => null, points: { show: false } }],
      hooks: { ...hooks, draw: [(chart) => drawLanes(chart, threads)], setCursor: [(chart) => { line.textContent = under(chart, threads); }] },
    }, [[0, timeline.duration], [0, lanes]], holder));
  };
  draw();
  const zoom = (factor, shift = 0) => {
    const { min, max } = charts[charts.length - 1].scales.x;
    const length = Math.min(Math.max((max - min) * factor, 100), timeline.duration);
    const middle = (min + max) / 2 + shift * (max - min);
    const from = Math.max(0, Math.min(middle - length / 2, timeline.duration - length));
    setScale({ min: from, max: from + length });
  };
  return {
    '+': () => zoom(0.5), '=': () => zoom(0.5), '-': () => zoom(2), 0: () => setScale({ min: 0, max: timeline.duration }),
    ArrowLeft: () => zoom(1, -0.25), h: () => zoom(1, -0.25), ArrowRight: () => zoom(1, 0.25), l: () => zoom(1, 0.25),
    Escape: () => setScale({ min: 0, max: timeline.duration }),
    redraw: draw,
  };
}

/** The index of the first interval of a flat list that may end after a moment: those before begin earlier than any such. */
function firstAfter(flat, at, longest) {
  let [low, high] = [0, flat.length / 3];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (flat[middle * 3] + longest < at) low = middle + 1;
    else high = middle;
  }
  return low * 3;
}

function longest(thread, key) {
  thread.longest ??= {};
  if (thread.longest[key] === undefined) {
    let most = 0;
    for (let at = 0; at < thread[key].length; at += 3) most = Math.max(most, thread[key][at + 1]);
    thread.longest[key] = most;
  }
  return thread.longest[key];
}

/** Least opacity of a pixel in which something happened, so that it is not overlooked. */
const FAINTEST = 0.15;

function drawLanes(chart, threads) {
  const { ctx, bbox } = chart;
  const { min, max } = chart.scales.x;
  const height = bbox.height / threads.length;
  const shares = new Float64Array(Math.ceil(bbox.width) + 1);
  ctx.save();
  threads.forEach((thread, lane) => {
    const top = bbox.top + lane * height;
    for (const mark of MARKS) {
      ctx.fillStyle = color(mark.color);
      cover(shares, thread[mark.key], longest(thread, mark.key), min, max);
      for (let from = 0; from < shares.length;) {
        let to = from + 1;
        // A pixel is as opaque as the share of its time that the intervals cover.
        while (to < shares.length && shares[to] === shares[from]) to++;
        if (shares[from] > 0) {
          ctx.globalAlpha = Math.max(Math.min(shares[from], 1), FAINTEST);
          ctx.fillRect(bbox.left + from, top + height * mark.from, to - from, height * (mark.to - mark.from));
        }
        from = to;
      }
    }
  });
  ctx.restore();
}

/** Sets the share of each pixel's time that intervals cover. */
function cover(shares, flat, longest, min, max) {
  shares.fill(0);
  const scale = (shares.length - 1) / (max - min);
  let coveredTo = 0;
  for (let at = firstAfter(flat, min, longest); at < flat.length && flat[at] <= max; at += 3) {
    // Those made in callbacks lie in the outer ones, and count once.
    const from = Math.max((flat[at] - min) * scale, coveredTo);
    const to = Math.min((flat[at] + flat[at + 1] - min) * scale, shares.length - 1);
    if (to <= from) continue;
    const [first, last] = [Math.floor(from), Math.floor(to)];
    if (first === last) shares[first] += to - from;
    else {
      shares[first] += first + 1 - from;
      shares.fill(1, first + 1, last);
      shares[last] += to - last;
    }
    coveredTo = to;
  }
}

/** The innermost intervals of each kind under the cursor, as text. */
function under(chart, threads) {
  const { left, top } = chart.cursor;
  if (left === undefined || left < 0) return '';
  const at = chart.posToVal(left, 'x');
  const thread = threads[Math.floor(top / (chart.over.clientHeight / threads.length))];
  if (!thread) return '';
  const pixel = (chart.scales.x.max - chart.scales.x.min) / chart.over.clientWidth;
  const parts = [`${thread.name} (thread ${thread.tid}) at ${time(at)}`];
  for (const mark of MARKS) {
    const flat = thread[mark.key];
    let best = -1;
    for (let index = firstAfter(flat, at, longest(thread, mark.key)); index < flat.length && flat[index] <= at + pixel; index += 3) {
      if (flat[index] + flat[index + 1] >= at - pixel) best = index;
    }
    if (best < 0) continue;
    const name = mark.key === 'locked' ? `goroutine ${flat[best + 2]}` : data.timeline.names[flat[best + 2]];
    parts.push(`${mark.label}: ${name}, ${time(flat[best + 1])} from ${time(flat[best])} on`);
  }
  return parts.join('   ');
}
