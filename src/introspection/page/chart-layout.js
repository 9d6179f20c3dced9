/**
 * Lays out the boxes and arrows of a statechart. Pure. Each level is laid out in layers: a state is below the states
 * that lead to it. States inside a state run from left to right, regions of a parallel state are stacked. Arrows use
 * only the gaps between layers and the gutters beside them, so that none crosses a box; arrows with the same target
 * share a line.
 */

const LABEL = 12.5;
const LETTER = 6.9;
const SMALL_LETTER = 5.8;
const LEAF_HEIGHT = 28;
const LEAF_HEIGHT_EFFECT = 42;
const TITLE = 22;
const PADDING = 12;
/** Widest layer in pixels, so that a screen shows all of it; a wider one is continued in a new layer below. */
const WIDEST = 780;
/** Distances: between boxes of a layer, between regions, between the lines of a gap, and around them. */
const APART = 18;
const REGIONS_APART = 10;
const LINES_APART = 7;
const GAP = 13;

/**
 * {width, height, boxes: [{path, label, effects, type, initial, inner, x, y, width, height}], routes: [{from, to,
 * points}]}
 */
export function layoutChart(chart) {
  const nodes = treeOf(chart);
  const edges = liftedEdges(chart);
  const root = {
    path: '',
    type: 'compound',
    children: [...nodes.values()].filter((node) => node.parent === ''),
  };
  const placed = placeChildren(root, nodes, edges, true);
  const boxes = [];
  const routes = [];
  flatten(placed, PADDING, PADDING, boxes, routes);
  return { width: placed.width + 2 * PADDING, height: placed.height + 2 * PADDING, boxes, routes };
}

function treeOf(chart) {
  const nodes = new Map();
  for (const state of chart.states ?? []) {
    const parent = state.parent ?? '';
    const node = {
      path: state.path,
      parent,
      label: state.path.slice(parent === '' ? 0 : parent.length + 1),
      type: state.type,
      initial: state.initial === true,
      effects: state.effects ?? [],
      children: [],
    };
    nodes.set(state.path, node);
    nodes.get(parent)?.children.push(node);
  }
  return nodes;
}

/** Each arrow, between the children of the nearest common state that contain its ends: parent → [{from, to}]. */
export function liftedEdges(chart) {
  const byParent = new Map();
  for (const arrow of chart.arrows ?? []) {
    const edge = lift(arrow.from, arrow.to);
    if (edge === undefined) continue;
    const edges = byParent.get(edge.parent) ?? [];
    if (!edges.some((one) => one.from === edge.from && one.to === edge.to)) edges.push(edge);
    byParent.set(edge.parent, edges);
  }
  return byParent;
}

/** The lifted arrow; undefined for an arrow between a state and itself or a state inside it. */
export function lift(from, to) {
  const one = from.split('.');
  const other = to.split('.');
  let shared = 0;
  while (shared < one.length && shared < other.length && one[shared] === other[shared]) shared += 1;
  if (shared === one.length || shared === other.length) return undefined;
  return {
    parent: one.slice(0, shared).join('.'),
    from: one.slice(0, shared + 1).join('.'),
    to: other.slice(0, shared + 1).join('.'),
  };
}

function place(node, nodes, edges, isDown) {
  if (node.children.length === 0) {
    const effects = node.effects.join(' ');
    const width = Math.max(56, node.label.length * LETTER + 24, effects.length * SMALL_LETTER + 20);
    return { node, width, height: effects === '' ? LEAF_HEIGHT : LEAF_HEIGHT_EFFECT, inner: undefined };
  }
  const inner = placeChildren(node, nodes, edges, isDown);
  return {
    node,
    inner,
    width: Math.max(inner.width, node.label.length * LETTER + 8) + 2 * PADDING,
    height: inner.height + TITLE + PADDING,
  };
}

function placeChildren(node, nodes, edges, isDown) {
  // below the top everything runs from left to right, which keeps a chart about as wide as it is high
  const children = node.children.map((child) => place(child, nodes, edges, false));
  return node.type === 'parallel' ? stacked(children) : layered(children, edges.get(node.path) ?? [], isDown);
}

/** The regions of a parallel state: stacked, of equal width. */
function stacked(children) {
  const width = Math.max(...children.map((child) => child.width));
  let y = 0;
  const items = children.map((child) => {
    const item = { child: { ...child, width }, x: 0, y };
    y += child.height + REGIONS_APART;
    return item;
  });
  return { width, height: y - REGIONS_APART, items, routes: [] };
}

/** Lays out in layers, along the axes `main` and `cross`, which are turned to x and y at the end. */
function layered(children, edges, isDown) {
  const boxes = children.map((child) => ({
    child,
    path: child.node.path,
    main: 0,
    cross: 0,
    long: isDown ? child.height : child.width,
    wide: isDown ? child.width : child.height,
  }));
  const byPath = new Map(boxes.map((box) => [box.path, box]));
  const known = edges
    .filter((edge) => byPath.has(edge.from) && byPath.has(edge.to))
    .map((edge) => ({ from: byPath.get(edge.from), to: byPath.get(edge.to) }));
  rank(boxes, known);
  if (isDown) narrow(boxes);
  const layers = ordered(boxes, known);
  const lines = linesOf(layers, known);
  const size = position(layers, lines);
  const gutters = guttersOf(known, size);
  const routes = known.map((edge) => ({
    from: edge.from.path,
    to: edge.to.path,
    points: route(edge, lines, gutters).map(([main, cross]) => turn(main, cross + gutters.left, isDown)),
  }));
  const items = boxes.map((box) => {
    const [x, y] = turn(box.main, box.cross + gutters.left, isDown);
    return { child: box.child, x, y };
  });
  const [width, height] = turn(size.main, gutters.left + size.cross + gutters.right, isDown);
  return { width, height, items, routes };
}

function turn(main, cross, isDown) {
  return isDown ? [cross, main] : [main, cross];
}

/**
 * Sets each box's layer: the longest path from the first state, without arrows that lead back to a state of the path.
 */
function rank(boxes, edges) {
  const after = new Map(boxes.map((box) => [box, []]));
  const seen = new Map();
  const visit = (box) => {
    seen.set(box, 'open');
    for (const edge of edges) {
      if (edge.from !== box || seen.get(edge.to) === 'open') continue;
      after.get(box).push(edge.to);
      if (!seen.has(edge.to)) visit(edge.to);
    }
    seen.set(box, 'closed');
  };
  const first = boxes.find((box) => box.child.node.initial) ?? boxes[0];
  for (const box of [first, ...boxes]) if (!seen.has(box)) visit(box);
  for (const box of boxes) box.rank = 0;
  // each round settles one more layer
  for (let round = 0; round < boxes.length; round += 1) {
    for (const [box, targets] of after)
      for (const target of targets) target.rank = Math.max(target.rank, box.rank + 1);
  }
}

/** Moves boxes that make a layer too wide into a new layer below it. */
function narrow(boxes) {
  // each round fills one layer; there are never more than boxes
  for (let at = 0; at < boxes.length; at += 1) {
    let wide = 0;
    const tooFar = boxes.filter((box) => {
      if (box.rank !== at) return false;
      wide += box.wide + APART;
      return wide > WIDEST && wide > box.wide + APART;
    });
    if (tooFar.length === 0) continue;
    for (const box of boxes) if (box.rank > at || tooFar.includes(box)) box.rank += 1;
  }
}

/** The layers; the boxes of each are in the order of the states that lead to them. */
function ordered(boxes, edges) {
  const layers = [];
  for (const box of boxes) (layers[box.rank] ??= []).push(box);
  for (const [at, layer] of layers.entries()) {
    const place = (box) => {
      const before = edges
        .filter((edge) => edge.to === box && edge.from.rank < at)
        .map((edge) => edge.from.place);
      return before.length === 0 ? 0.5 : before.reduce((sum, one) => sum + one, 0) / before.length;
    };
    const places = new Map(layer.map((box) => [box, place(box)]));
    layer.sort((one, other) => places.get(one) - places.get(other));
    layer.forEach((box, index) => {
      box.place = (index + 0.5) / layer.length;
    });
  }
  return layers;
}

const isNext = (edge) => edge.to.rank === edge.from.rank + 1;

/** The lines in the gap before each layer: first those that leave the layer above, then those that enter this layer. */
function linesOf(layers, edges) {
  const gaps = Array.from({ length: layers.length + 1 }, () => []);
  for (const layer of layers)
    for (const box of layer)
      if (edges.some((edge) => edge.from === box && !isNext(edge))) gaps[box.rank + 1].push({ out: box });
  for (const layer of layers)
    for (const box of layer) if (edges.some((edge) => edge.to === box)) gaps[box.rank].push({ into: box });
  return gaps;
}

/** Sets the positions of boxes and lines; returns the size. */
function position(layers, gaps) {
  const widths = layers.map(
    (layer) => layer.reduce((sum, box) => sum + box.wide, 0) + APART * (layer.length - 1),
  );
  const cross = Math.max(...widths);
  let main = 0;
  const gap = (at) => {
    const lines = gaps[at];
    if (lines.length === 0) {
      main += at === 0 || at === layers.length ? 0 : 2 * GAP;
      return;
    }
    lines.forEach((line, index) => {
      line.main = main + GAP + index * LINES_APART;
    });
    main += 2 * GAP + (lines.length - 1) * LINES_APART;
  };
  for (const [at, layer] of layers.entries()) {
    gap(at);
    let from = (cross - widths[at]) / 2;
    for (const box of layer) {
      Object.assign(box, { main, cross: from, middle: from + box.wide / 2 });
      from += box.wide + APART;
    }
    main += Math.max(...layer.map((box) => box.long));
  }
  gap(layers.length);
  return { main, cross };
}

/**
 * The lines beside the boxes, one per target: on the right for arrows that skip layers, on the left for arrows that
 * lead back.
 */
function guttersOf(edges, size) {
  const sides = { left: [], right: [] };
  for (const edge of edges) {
    if (isNext(edge)) continue;
    const lanes = edge.to.rank > edge.from.rank ? sides.right : sides.left;
    const span = [Math.min(edge.from.rank + 1, edge.to.rank), Math.max(edge.from.rank + 1, edge.to.rank)];
    const known = lanes.find((lane) => lane.to === edge.to);
    if (known === undefined) lanes.push({ to: edge.to, span });
    else known.span = [Math.min(known.span[0], span[0]), Math.max(known.span[1], span[1])];
  }
  const depth = {};
  for (const [side, lanes] of Object.entries(sides)) {
    const ends = [];
    // short lines are nearer to the boxes
    lanes.sort((one, other) => one.span[1] - one.span[0] - (other.span[1] - other.span[0]));
    for (const lane of lanes) {
      let at = ends.findIndex((taken) =>
        taken.every(([from, to]) => lane.span[0] > to || lane.span[1] < from),
      );
      if (at < 0) at = ends.push([]) - 1;
      ends[at].push(lane.span);
      lane.cross = side === 'right' ? size.cross + GAP + at * LINES_APART : -GAP - at * LINES_APART;
    }
    depth[side] = ends.length === 0 ? 0 : GAP + ends.length * LINES_APART;
  }
  return { lanes: sides, left: depth.left, right: depth.right };
}

function route(edge, gaps, gutters) {
  const { from, to } = edge;
  const into = gaps[to.rank].find((line) => line.into === to).main;
  const start = [from.main + from.long, from.middle];
  const end = [
    [into, to.middle],
    [to.main, to.middle],
  ];
  if (isNext(edge)) return [start, [into, from.middle], ...end];
  const out = gaps[from.rank + 1].find((line) => line.out === from).main;
  const { cross } = (to.rank > from.rank ? gutters.lanes.right : gutters.lanes.left).find(
    (lane) => lane.to === to,
  );
  return [start, [out, from.middle], [out, cross], [into, cross], ...end];
}

function flatten(placed, dx, dy, boxes, routes) {
  for (const { child, x, y } of placed.items) {
    const { node, width, height, inner } = child;
    boxes.push({
      path: node.path,
      label: node.label,
      effects: node.effects,
      type: node.type,
      initial: node.initial,
      inner: inner !== undefined,
      x: dx + x,
      y: dy + y,
      width,
      height,
      labelSize: LABEL,
    });
    if (inner !== undefined)
      flatten(inner, dx + x + (width - inner.width) / 2, dy + y + TITLE, boxes, routes);
  }
  for (const { from, to, points } of placed.routes)
    routes.push({ from, to, points: points.map(([x, y]) => [dx + x, dy + y]) });
}
