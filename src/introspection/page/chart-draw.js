/** A statechart as SVG. Active states are highlighted, earlier ones shaded. */
import { s } from './dom.js';
import { layoutChart, lift } from './chart-layout.js';

const CORNER = 5;

export class ChartPicture {
  #chart;
  #boxes = new Map();
  #routes = new Map();

  constructor(chart) {
    this.#chart = chart;
    const layout = layoutChart(chart);
    const { width, height } = layout;
    const routes = layout.routes.map((route) => this.#route(route));
    const boxes = layout.boxes.map((box) => this.#box(box));
    this.element = s(
      'svg',
      {
        class: 'drawing',
        viewBox: `0 0 ${width} ${height}`,
        width,
        height,
        role: 'img',
        'aria-label': `Statechart of ${chart.id}`,
      },
      arrowHeads(),
      boxes,
      routes,
    );
  }

  /** Highlights the active states (paths, outermost first) and the arrows that leave them; shades the visited ones. */
  light(active, visited) {
    const lit = new Set(active);
    const passed = new Set(visited);
    for (const [path, box] of this.#boxes) {
      box.classList.toggle('lit', lit.has(path));
      box.classList.toggle('passed', passed.has(path) && !lit.has(path));
    }
    const ways = new Set(waysOut(this.#chart, active).flatMap(({ from, to }) => keyOf(lift(from, to))));
    for (const [key, route] of this.#routes) {
      const isWay = ways.has(key);
      route.classList.toggle('way', isWay);
      route.setAttribute('marker-end', isWay ? 'url(#head-way)' : 'url(#head)');
      // drawn last, on top of arrows that share its line
      if (isWay) this.element.append(route);
    }
  }

  /** Scrolls the frame to the innermost active state. */
  reveal(frame) {
    const lit = [...this.element.querySelectorAll('.box.lit.leaf')].at(-1);
    if (lit === undefined) return;
    const [box, around] = [lit.getBoundingClientRect(), frame.getBoundingClientRect()];
    frame.scrollTop += box.top - around.top - (around.height - box.height) / 2;
    frame.scrollLeft += box.left - around.left - (around.width - box.width) / 2;
  }

  #box({ path, label, effects, type, initial, inner, x, y, width, height }) {
    const isEnd = type === 'final';
    const middle = x + width / 2;
    const title = s(
      'text',
      inner
        ? { x: x + 10, y: y + 15, class: 'title' }
        : { x: middle, y: y + (effects.length > 0 ? 18 : height / 2 + 4), 'text-anchor': 'middle' },
      label,
    );
    const work =
      inner || effects.length === 0
        ? undefined
        : s('text', { x: middle, y: y + 33, 'text-anchor': 'middle', class: 'effect' }, effects.join(' '));
    const group = s(
      'g',
      { class: `box ${inner ? 'inner' : 'leaf'} ${type}`, 'data-path': path },
      s('title', {}, effects.length === 0 ? path : `${path}: ${effects.join(', ')}`),
      s('rect', { x, y, width, height, rx: isEnd ? height / 2 : 7 }),
      isEnd
        ? s('rect', {
            x: x + 3,
            y: y + 3,
            width: width - 6,
            height: height - 6,
            rx: height / 2 - 3,
            class: 'end',
          })
        : undefined,
      initial
        ? s('circle', { cx: x, cy: y + (inner ? TITLE_MIDDLE : height / 2), r: 3.5, class: 'initial' })
        : undefined,
      title,
      work,
    );
    this.#boxes.set(path, group);
    return group;
  }

  #route({ from, to, points }) {
    const line = s('path', { class: 'route', d: rounded(points), 'marker-end': 'url(#head)' });
    this.#routes.set(keyOf({ from, to })[0], line);
    return line;
  }
}

const TITLE_MIDDLE = 11;

function keyOf(edge) {
  return edge === undefined ? [] : [`${edge.from}>${edge.to}`];
}

/** Arrows that leave one of these states, innermost first. Transitions to the same state are left out. */
export function waysOut(chart, active) {
  return [...active]
    .reverse()
    .flatMap((path) => (chart.arrows ?? []).filter((arrow) => arrow.from === path && arrow.to !== path));
}

function arrowHeads() {
  const head = (id) =>
    s(
      'marker',
      {
        id,
        viewBox: '0 0 8 8',
        refX: 7,
        refY: 4,
        markerWidth: 6.5,
        markerHeight: 6.5,
        orient: 'auto-start-reverse',
      },
      s('path', { d: 'M0 0.5 L8 4 L0 7.5 z' }),
    );
  return s('defs', {}, head('head'), head('head-way'));
}

/** A line through these points with round corners. */
function rounded(points) {
  const bends = points.filter(([x, y], at) => at === 0 || x !== points[at - 1][0] || y !== points[at - 1][1]);
  const parts = bends.map(([x, y], at) => {
    const before = bends[at - 1];
    const after = bends[at + 1];
    if (before === undefined) return `M${x} ${y}`;
    if (after === undefined) return `L${x} ${y}`;
    const [fromX, fromY] = towards([x, y], before);
    const [toX, toY] = towards([x, y], after);
    return `L${fromX} ${fromY} Q${x} ${y} ${toX} ${toY}`;
  });
  return parts.join(' ');
}

function towards([x, y], [otherX, otherY]) {
  const length = Math.hypot(otherX - x, otherY - y);
  const part = Math.min(CORNER, length / 2) / length;
  return [x + (otherX - x) * part, y + (otherY - y) * part];
}
