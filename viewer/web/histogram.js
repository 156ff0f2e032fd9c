// How times are spread: https://github.com/leeoniya/uPlot.

/** Adds a histogram of middles of buckets, in nanoseconds, with counts. */
function showHistogram(parent, title, buckets, fill) {
  if (buckets.length === 0) return;
  const chart = element('div', { className: 'chart' });
  parent.append(chart);
  const [ink, line] = [color('ink'), color('line')];
  const axis = { stroke: ink, grid: { stroke: line, width: 0.5 }, ticks: { stroke: line } };
  new uPlot({
    title, width: 460, height: 190,
    scales: { x: { time: false, distr: 3, log: 10 }, y: { range: (_, least, most) => [0, most] } },
    axes: [
      { ...axis, values: (_, values) => values.map((value) => (Number.isInteger(Math.log10(value)) ? time(value) : '')) },
      { ...axis, values: (_, values) => values.map(count), size: 70 },
    ],
    series: [
      { label: 'time', value: (_, value) => (value === null ? '' : time(value)) },
      { label: 'crossings', fill, stroke: fill, paths: uPlot.paths.bars({ size: [0.9, 40] }), points: { show: false },
        value: (_, value) => (value === null ? '' : count(value)) },
    ],
  }, [buckets.map(([middle]) => Math.max(middle, 0.1)), buckets.map(([, calls]) => calls)], chart);
}
