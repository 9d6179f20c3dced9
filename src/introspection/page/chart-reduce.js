/** A chart reduced to what matters now: the active states, where they lead, and the way that led to them. Pure. */
import { waysOut } from './chart-draw.js';

/** The chart with fewer states. A visited state on the top level is kept without the states inside it. */
export function reducedChart(chart, active, visited) {
  const kept = new Set(active);
  for (const path of visited) kept.add(path.split('.', 1)[0]);
  for (const { to } of waysOut(chart, active)) for (const path of pathsTo(to)) kept.add(path);
  return { ...chart, states: (chart.states ?? []).filter((state) => kept.has(state.path)) };
}

/** `a.b.c` → a, a.b, a.b.c. */
function pathsTo(path) {
  const words = path.split('.');
  return words.map((_, at) => words.slice(0, at + 1).join('.'));
}
