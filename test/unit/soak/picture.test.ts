import { describe, expect, it } from 'vitest';
import { svgOf } from '../../e2e/soak/picture.ts';

const curve = (svg: string): readonly string[] =>
  [...svg.matchAll(/<path class="c" stroke="[^"]+" d="([^"]+)"\/>/gu)].map((match) => match[1] ?? '');
const base = { title: 'Memory', unit: 'MiB', kills: [] };

describe('a picture of curves', () => {
  it('has axes from zero in round steps, with units', () => {
    const svg = svgOf({
      ...base,
      lines: [
        {
          name: 'PSS',
          points: [
            [0, 3],
            [10, 87],
          ],
        },
      ],
    });
    const texts = [...svg.matchAll(/<text [^>]*>([^<]+)<\/text>/gu)].map((match) => match[1]);
    expect(texts).toEqual(
      expect.arrayContaining(['Memory', 'MiB', '0', '20', '100', '10', 'minutes', 'PSS']),
    );
    // from the left edge at minute 0 to the right edge at minute 10
    expect(curve(svg)[0]).toMatch(/^M62\.0 216\.\d+L746\.0 68\.\d+$/u);
  });

  it('leaves a gap where nothing was measured, and marks kills', () => {
    const points = [
      [0, 1],
      [1, Number.NaN],
      [2, 1],
    ] as const;
    const svg = svgOf({ ...base, kills: [1], lines: [{ name: 'a', points }] });
    expect(curve(svg)[0]?.match(/M/gu)).toHaveLength(2);
    expect(svg).toContain('<path class="k" d="M404.0 46V222"/>');
    expect(svg).toContain('dashed: kill -9 of the daemon');
  });

  it('keeps the peaks of a long run', () => {
    const points = Array.from({ length: 5000 }, (_none, index) => [index, index === 2500 ? 100 : 1] as const);
    const svg = svgOf({ ...base, lines: [{ name: 'a', points }] });
    expect(curve(svg)[0]?.split('L').length).toBeLessThan(402);
    expect(curve(svg)[0]).toContain(' 46.0L');
  });

  it('shows values of several orders of magnitude on a logarithmic axis', () => {
    const svg = svgOf({
      ...base,
      isLogarithmic: true,
      lines: [
        {
          name: 'a',
          points: [
            [0, 1],
            [1, 1000],
          ],
        },
      ],
    });
    for (const tick of ['0.1', '1', '10', '100', '1000']) expect(svg).toContain(`>${tick}</text>`);
    expect(curve(svg)[0]).toBe('M62.0 178.0L746.0 46.0');
  });

  it('escapes what XML would take for its own', () => {
    expect(svgOf({ ...base, title: 'a < b & c', lines: [] })).toContain('a &lt; b &amp; c');
  });
});
