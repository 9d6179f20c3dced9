/** Bars as SVG, drawn by hand: small, and readable on a light and on a dark page. */
import { escaped } from '../e2e/soak/picture.ts';

export interface Bar {
  /** Bars of a group stand together below its name. */
  readonly group: string;
  readonly name: string;
  /** The bar's length. */
  readonly value: number;
  /** A thin line goes on to here. */
  readonly upTo: number;
  /** A mark across the bar. */
  readonly floor: number;
}

const WIDTH = 760;
const LEFT = 190;
const RIGHT = 60;
const TOP = 34;
const BAR = 12;
const ROW = 20;
const GROUP_GAP = 26;

/** The picture's text. */
export function barsText(title: string, bars: readonly Bar[]): string {
  const largest = Math.max(1, ...bars.map(({ value, upTo, floor }) => Math.max(value, upTo, floor)));
  const x = (value: number): string => (LEFT + ((WIDTH - LEFT - RIGHT) * value) / largest).toFixed(1);
  const lines: string[] = [];
  let y = TOP;
  let group: string | undefined;
  for (const bar of bars) {
    if (bar.group !== group) {
      group = bar.group;
      y += GROUP_GAP;
      lines.push(`<text class="b" x="8" y="${y - 8}">${escaped(group)}</text>`);
    }
    const middle = y + BAR / 2;
    lines.push(
      `<text x="${LEFT - 8}" y="${middle + 4}" text-anchor="end">${escaped(bar.name)}</text>`,
      `<path class="v" d="M${LEFT} ${y}H${x(bar.value)}v${BAR}H${LEFT}z"/>`,
      `<path class="u" d="M${x(bar.value)} ${middle}H${x(bar.upTo)}"/>`,
      `<path class="f" d="M${x(bar.floor)} ${y - 2}v${BAR + 4}"/>`,
      `<text x="${x(Math.max(bar.upTo, bar.value, bar.floor))}" dx="6" y="${middle + 4}">${bar.value.toFixed(0)}</text>`,
    );
    y += ROW;
  }
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${y + 8}" font-family="sans-serif" font-size="11">`,
    '<style>text{fill:#57606a}.b{font-weight:bold}.v{fill:#2f7ed8}.u{stroke:#2f7ed8;stroke-opacity:.6}' +
      '.f{stroke:#e8871e;stroke-width:2}@media(prefers-color-scheme:dark){text{fill:#c9d1d9}}</style>',
    `<text x="8" y="18" font-size="13">${escaped(title)}</text>`,
    ...lines,
    '</svg>',
    '',
  ].join('\n');
}
