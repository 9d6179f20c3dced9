import { describe, expect, test } from 'vitest';
import { troupeCharts } from '../../../src/introspection/charts.ts';
import { activeStates, layoutChart, liftedEdges } from './page-modules.ts';
import type { Box } from './page-modules.ts';

const holds = (outer: Box, inner: Box): boolean =>
  outer.x <= inner.x &&
  outer.y <= inner.y &&
  outer.x + outer.width >= inner.x + inner.width &&
  outer.y + outer.height >= inner.y + inner.height;
/** Pixels between two boxes, so that they are seen as two and a line fits between them. */
const APART = 8;
const meets = (one: Box, other: Box): boolean =>
  one.x < other.x + other.width + APART &&
  other.x < one.x + one.width + APART &&
  one.y < other.y + other.height + APART &&
  other.y < one.y + one.height + APART;
const isAround = (outer: string, inner: string): boolean => inner.startsWith(`${outer}.`);

/** Whether a straight line has points strictly inside a box. */
function crosses(
  [fromX, fromY]: readonly [number, number],
  [toX, toY]: readonly [number, number],
  box: Box,
): boolean {
  const [left, right] = [Math.min(fromX, toX), Math.max(fromX, toX)];
  const [top, bottom] = [Math.min(fromY, toY), Math.max(fromY, toY)];
  return (
    left < box.x + box.width - 0.01 &&
    right > box.x + 0.01 &&
    top < box.y + box.height - 0.01 &&
    bottom > box.y + 0.01
  );
}

describe.each(troupeCharts().map((chart) => [chart.id, chart] as const))('%s', (_id, chart) => {
  const { boxes, routes, width, height } = layoutChart(chart);
  const byPath = new Map(boxes.map((box) => [box.path, box]));

  test('every state has a box', () => {
    expect(boxes.map((box) => box.path).toSorted()).toEqual(
      chart.states.map((state) => state.path).toSorted(),
    );
  });

  test('boxes overlap only where one state is inside another, and then wholly', () => {
    const wrong = boxes.flatMap((one, at) =>
      boxes
        .slice(at + 1)
        .filter((other) => {
          if (isAround(one.path, other.path)) return !holds(one, other);
          return isAround(other.path, one.path) ? !holds(other, one) : meets(one, other);
        })
        .map((other) => `${one.path} and ${other.path}`),
    );
    expect(wrong).toEqual([]);
  });

  test('everything is inside the picture, which is not wider than a screen', () => {
    const all = { path: '', inner: true, x: 0, y: 0, width, height };
    expect(boxes.filter((box) => !holds(all, box))).toEqual([]);
    const points = routes.flatMap((route) => route.points);
    expect(points.filter(([x, y]) => !(x >= 0 && y >= 0 && x <= width && y <= height))).toEqual([]);
    // of 1920 pixels, with the list of actors beside it; the states of an update within a stop are four levels deep
    expect(width).toBeLessThan(1400);
  });

  test('every arrow between two states is drawn, at the level on which they part', () => {
    const wanted = [...liftedEdges(chart).values()].flat().map(({ from, to }) => `${from} → ${to}`);
    expect(routes.map(({ from, to }) => `${from} → ${to}`).toSorted()).toEqual(wanted.toSorted());
  });

  test('arrows run vertically or horizontally from box edge to box edge, through no box', () => {
    const wrong = routes.flatMap(({ from, to, points }) => {
      const lines = points.slice(1).map((point, at) => [points[at] ?? point, point] as const);
      const slanted = lines.filter(
        ([[ax, ay], [bx, by]]) => Math.abs(ax - bx) > 0.01 && Math.abs(ay - by) > 0.01,
      );
      const through = boxes.filter(
        (box) => !isAround(box.path, from) && lines.some(([a, b]) => crosses(a, b, box)),
      );
      const [end] = points.slice(-1);
      const target = byPath.get(to);
      const arrives =
        end !== undefined &&
        target !== undefined &&
        (Math.abs(end[1] - target.y) < 0.01 || Math.abs(end[0] - target.x) < 0.01);
      return [
        ...slanted.map(() => `${from} → ${to} slants`),
        ...through.map((box) => `${from} → ${to} crosses ${box.path}`),
        ...(arrives ? [] : [`${from} → ${to} ends nowhere`]),
      ];
    });
    expect(wrong).toEqual([]);
  });
});

describe('the active states of a path', () => {
  test.each([
    ['ready', ['ready']],
    ['stopping.killing', ['stopping', 'stopping.killing']],
    [
      'provisioning.{files.done,network.adding}',
      [
        'provisioning',
        'provisioning.files',
        'provisioning.files.done',
        'provisioning.network',
        'provisioning.network.adding',
      ],
    ],
    ['a.{b.{c.d,e},f}', ['a', 'a.b', 'a.b.c', 'a.b.c.d', 'a.b.e', 'a.f']],
    ['{a.b,c}', ['a', 'a.b', 'c']],
    ['', []],
  ])('%s', (path, active) => {
    expect(activeStates(path)).toEqual(active);
  });
});

test('unknown states highlight nothing and cause no error', () => {
  expect(layoutChart({ id: 'x', states: [], arrows: [] })).toMatchObject({ boxes: [], routes: [] });
});
