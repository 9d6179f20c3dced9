// The page's pure parts of the overview and the detail, and the contrast of its colours.
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { troupeCharts } from '../../../src/introspection/charts.ts';
import {
  activeStates,
  conditionsOf,
  lastWay,
  Model,
  nodeSentence,
  overviewParts,
  reducedChart,
  styleFile,
} from './page-modules.ts';

describe('the last way', () => {
  const change = (ms: number, to: string, settled = false) => ({ atNs: `${ms}000000`, to, settled });
  const isFinal = (path: string): boolean => path.endsWith('.done');

  it('has a bar for each state, those of parallel regions beside each other, without ends of regions', () => {
    const history = [
      change(0, 'recordingIntent'),
      change(10, 'provisioning.{files.making,network.adding}'),
      change(30, 'provisioning.{files.done,network.adding}'),
      change(90, 'committing'),
      change(95, 'ready', true),
    ];
    expect(lastWay(history, 500, isFinal)).toEqual({
      fromMs: 0,
      toMs: 95,
      isLive: false,
      bars: [
        { path: 'recordingIntent', fromMs: 0, toMs: 10 },
        { path: 'provisioning.files.making', fromMs: 10, toMs: 30 },
        { path: 'provisioning.network.adding', fromMs: 10, toMs: 90 },
        { path: 'committing', fromMs: 90, toMs: 95 },
      ],
    });
  });

  it('goes on until now while it has not ended, and does not exist between two settled states', () => {
    const history = [change(0, 'ready', true), change(40, 'stopping.undoing')];
    expect(lastWay(history, 100, isFinal)).toEqual({
      fromMs: 40,
      toMs: 100,
      isLive: true,
      bars: [{ path: 'stopping.undoing', fromMs: 40, toMs: 100 }],
    });
    expect(lastWay([change(0, 'created', true), change(5, 'running', true)], 9, isFinal)).toBeUndefined();
    expect(lastWay([], 9, isFinal)).toBeUndefined();
  });
});

describe('the reduced chart', () => {
  it('has the active states, where they lead, and visited states of the top level without their insides', () => {
    const chart = troupeCharts().find(({ id }) => id === 'sandbox');
    if (chart === undefined) return expect.fail('the sandbox has no chart');
    const visited = activeStates('provisioning.network.adding');
    const { states } = reducedChart(chart, ['ready'], visited);
    const paths = states.map(({ path }) => path);
    expect(paths).toEqual(expect.arrayContaining(['ready', 'provisioning', 'stopping']));
    expect(paths).not.toContain('provisioning.network.adding');
    expect(states.length).toBeLessThan(chart.states.length / 2);
    const whole = reducedChart(chart, visited, []);
    expect(whole.states.map(({ path }) => path)).toEqual(expect.arrayContaining([...visited]));
  });
});

describe('the overview', () => {
  const facts = { version: '1', networkReady: true };

  it('says in a sentence whether something needs attention', () => {
    const model = new Model();
    const say = (of: object | null, troubles: readonly string[] = []): string =>
      nodeSentence({ model, facts: of, troubles: new Map(troubles.map((kind, at) => [String(at), kind])) });
    expect(say(facts)).toBe('Ready; nothing needs attention.');
    expect(say(facts, ['oom', 'slow'])).toBe('Ready; 1 in trouble; 1 slow wait.');
    expect(say({ ...facts, notReadyReason: 'no space left' })).toBe(
      'Not ready: no space left; 1 condition to resolve.',
    );
    expect(say(null)).toBe('The daemon does not answer.');
    const [[, sentence] = []] = overviewParts({ model, facts: null, troubles: new Map() }, {});
    expect(sentence).toEqual(['The daemon does not answer.', 'bad']);
  });

  it('lists everything that is degraded', () => {
    expect(
      conditionsOf({
        notReadyReason: 'recovering',
        networkMessage: 'no configuration',
        handlers: [
          { name: '', ready: false, reason: 'runc' },
          { name: 'kata', reason: 'no such file' },
        ],
        conditions: [{ type: 'DebrisRemoved', message: '/trash: EPERM' }],
        disks: [
          { path: '/var', totalBytes: '9000', freeBytes: '1024', reserveBytes: '2048' },
          { path: '/run', totalBytes: '9000', freeBytes: '4096', reserveBytes: '2048' },
        ],
        lostFacts: 'cut off',
      }),
    ).toEqual([
      ['Runtime is not ready', 'recovering'],
      ['Network is not ready', 'no configuration'],
      ['Handler kata is not ready', 'no such file'],
      ['Disk is full', '/var has 1.0 KiB free: pulls are refused below 2.0 KiB'],
      ['DebrisRemoved is false', '/trash: EPERM'],
      ['Journal was damaged', 'cut off'],
    ]);
  });
});

describe('contrast (WCAG 2.1, 1.4.3 and 1.4.11, level AA)', () => {
  const style = readFileSync(styleFile, 'utf8');
  const colours = new Map(
    [...style.matchAll(/--([\w-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\)/gu)].map(
      ([, name = '', light = '', dark = '']) => [name, { light, dark }] as const,
    ),
  );
  const colour = (name: string, theme: 'light' | 'dark'): string =>
    colours.get(name)?.[theme] ?? expect.fail(`no colour ${name}`);
  const SURFACES = ['bg', 'panel', 'accent-soft', 'passed'];
  const PAIRS: readonly (readonly [string, readonly string[], number])[] = [
    ...['text', 'muted', 'accent', 'good', 'slow', 'bad'].map((name) => [name, SURFACES, 4.5] as const),
    ['text', ['bad-soft', 'slow-soft'], 4.5],
    ['bad', ['bad-soft'], 4.5],
    ['slow', ['slow-soft'], 4.5],
    // dots and lines: not text
    ['quiet', SURFACES, 3],
    ['route', ['panel'], 3],
  ];

  it.each(['light', 'dark'] as const)('of the %s theme', (theme) => {
    const low = PAIRS.flatMap(([front, backs, least]) =>
      backs.flatMap((back) => {
        const ratio = contrast(colour(front, theme), colour(back, theme));
        return ratio < least ? [`${front} on ${back}: ${ratio.toFixed(2)} < ${least}`] : [];
      }),
    );
    expect(low).toEqual([]);
  });
});

describe('the index', () => {
  const folder = dirname(styleFile);
  const read = (file: string): string => readFileSync(join(folder, file), 'utf8');

  it('preloads each module that main.js imports, directly or not', () => {
    const imported = new Set<string>();
    const follow = (file: string): void => {
      for (const [, name = ''] of read(file).matchAll(/ from '\.\/([\w-]+\.js)'/gu)) {
        if (imported.has(name)) continue;
        imported.add(name);
        follow(name);
      }
    };
    follow('main.js');
    const preloaded = [...read('index.html').matchAll(/rel="modulepreload" href="([^"]+)"/gu)];
    expect(new Set(preloaded.map(([, name]) => name))).toEqual(imported);
  });
});

function contrast(one: string, other: string): number {
  const [dark = 0, light = 0] = [luminance(one), luminance(other)].toSorted((a, b) => a - b);
  return (light + 0.05) / (dark + 0.05);
}

/** Relative luminance, as WCAG defines it. */
function luminance(hex: string): number {
  const [red = 0, green = 0, blue = 0] = [1, 3, 5].map((from) => {
    const part = Number.parseInt(hex.slice(from, from + 2), 16) / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}
