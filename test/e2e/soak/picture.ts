/** Curves over minutes as SVG, drawn by hand: small, and readable on a light and on a dark page. */

const WIDTH = 760;
const HEIGHT = 260;
const LEFT = 62;
const RIGHT = 14;
const TOP = 46;
const BOTTOM = 38;
const TICKS = 5;
/** Points of a curve: more than the picture has pixels for are no use. */
const POINTS = 400;
/** Readable on white and on black, and apart for who does not see red and green. */
const COLOURS = ['#2f7ed8', '#e8871e', '#8e5bd0', '#2ca58d', '#c94f7c', '#8a8f98'] as const;

export interface Line {
  /** Empty for one that the legend leaves out: it has the colour of the line before it. */
  readonly name: string;
  readonly isDashed?: boolean;
  /** Minutes and value; a value that is not a number leaves a gap. */
  readonly points: readonly (readonly [minute: number, value: number])[];
}

export interface Picture {
  readonly title: string;
  readonly unit: string;
  readonly lines: readonly Line[];
  /** Minutes at which the daemon was killed. */
  readonly kills: readonly number[];
  /** Powers of ten on the axis, for values that differ by orders of magnitude. */
  readonly isLogarithmic?: boolean;
}

/** The picture's text. */
export function svgOf({ title, unit, lines, kills, isLogarithmic = false }: Picture): string {
  const all = lines.flatMap(({ points }) => points).filter(([, value]) => Number.isFinite(value));
  const minutes = Math.max(1, ...all.map(([minute]) => minute));
  const largest = Math.max(...all.map(([, value]) => value), 0);
  const ticks = isLogarithmic ? powersTo(largest) : stepsTo(largest);
  const top = ticks.at(-1) ?? 1;
  const bottom = ticks[0] ?? 0;
  const x = (minute: number): number => LEFT + ((WIDTH - LEFT - RIGHT) * minute) / minutes;
  const share = (value: number): number =>
    isLogarithmic
      ? Math.log(Math.max(value, bottom) / bottom) / Math.log(top / bottom)
      : (value - bottom) / (top - bottom);
  const y = (value: number): number => HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share(value);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="11">`,
    '<style>text{fill:#57606a}.g{stroke:#8a8f98;stroke-opacity:.3}.k{stroke:#d1242f;stroke-opacity:.45;stroke-dasharray:2 3}' +
      '.c{fill:none;stroke-width:1.5}.d{stroke-width:1;stroke-dasharray:4 3}@media(prefers-color-scheme:dark){text{fill:#c9d1d9}}</style>',
    `<text x="${LEFT}" y="16" font-size="13">${escaped(title)}</text>`,
    ...ticks.flatMap((value) => [
      `<path class="g" d="M${LEFT} ${at(y(value))}H${WIDTH - RIGHT}"/>`,
      `<text x="${LEFT - 6}" y="${at(y(value) + 4)}" text-anchor="end">${plain(value)}</text>`,
    ]),
    `<text x="${LEFT - 6}" y="${TOP - 12}" text-anchor="end">${escaped(unit)}</text>`,
    ...stepsTo(minutes)
      .filter((minute) => minute <= minutes)
      .map(
        (minute) =>
          `<text x="${at(x(minute))}" y="${HEIGHT - BOTTOM + 16}" text-anchor="middle">${plain(minute)}</text>`,
      ),
    `<text x="${WIDTH - RIGHT}" y="${HEIGHT - 6}" text-anchor="end">minutes${kills.length > 0 ? '; dashed: kill -9 of the daemon' : ''}</text>`,
    ...kills.map((minute) => `<path class="k" d="M${at(x(minute))} ${TOP}V${HEIGHT - BOTTOM}"/>`),
    ...lines.map(({ points, isDashed = false }, index) => {
      const path = pathOf(thinned(points).map(([minute, value]) => [x(minute), y(value)]));
      return `<path class="${isDashed ? 'c d' : 'c'}" stroke="${colourOf(lines, index)}" d="${path}"/>`;
    }),
    ...legend(lines),
    '</svg>',
    '',
  ].join('\n');
}

/** Each name has its own. */
function colourOf(lines: readonly Line[], index: number): string {
  const named = lines.slice(0, index + 1).filter(({ name }) => name !== '').length;
  return COLOURS[Math.max(0, named - 1) % COLOURS.length] ?? COLOURS[0];
}

const at = (value: number): string => value.toFixed(1);
const plain = (value: number): string => String(Number(value.toPrecision(6)));
/** Text as it stands in an SVG. */
export const escaped = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');

/** Pixels for a letter of the legend. */
const LETTER = 6.4;

function legend(lines: readonly Line[]): readonly string[] {
  let from = LEFT;
  return lines.flatMap(({ name }, index) => {
    if (name === '') return [];
    const x = from;
    from += 26 + name.length * LETTER;
    return `<path class="c" stroke="${colourOf(lines, index)}" d="M${at(x)} 30h14"/><text x="${at(x + 18)}" y="34">${escaped(name)}</text>`;
  });
}

/** From 0 in steps of 1, 2 or 5 times a power of ten to at least the largest. */
function stepsTo(largest: number): readonly number[] {
  const rough = Math.max(largest, 1e-9) / TICKS;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((one) => one >= rough) ?? power;
  return Array.from({ length: Math.ceil(largest / step - 1e-9) + 1 }, (_none, index) => index * step);
}

/** Powers of ten from 0.1 to at least the largest. */
const powersTo = (largest: number): readonly number[] =>
  Array.from(
    { length: Math.max(2, Math.ceil(Math.log10(largest)) + 2) },
    (_none, index) => 10 ** (index - 1),
  );

/** Of neighbours the largest stands for all, so that no peak is lost. */
function thinned(points: Line['points']): Line['points'] {
  const size = Math.ceil(points.length / POINTS);
  if (size <= 1) return points;
  return Array.from({ length: Math.ceil(points.length / size) }, (_none, index) => {
    const group = points.slice(index * size, (index + 1) * size);
    return group.reduce((most, one) => (one[1] > most[1] ? one : most));
  });
}

function pathOf(points: readonly (readonly [x: number, y: number])[]): string {
  let command = 'M';
  let path = '';
  for (const [x, y] of points) {
    if (!Number.isFinite(y)) {
      command = 'M';
      continue;
    }
    path += `${command}${at(x)} ${at(y)}`;
    command = 'L';
  }
  return path;
}
