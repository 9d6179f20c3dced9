/**
 * The dashboard's panels, drawn as Grafana draws them: a Prometheus scrapes metrics of ours in which all series exist,
 * and answers each panel's expressions. No package of Grafana itself is to be had: Debian has none, npm has its
 * libraries without the server, and the Go module comes without the page.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { until } from '../../support/eventually.ts';
import { debianTree, inTree } from '../../support/tools/debian.ts';
import { fullMetrics } from '../../unit/introspection/full-metrics.ts';

interface Panel {
  readonly title: string;
  readonly type: string;
  readonly fieldConfig?: { readonly defaults: { readonly unit?: string } };
  readonly targets?: readonly { readonly expr: string; readonly legendFormat?: string }[];
}

interface Series {
  readonly metric: Readonly<Record<string, string>>;
  readonly values: readonly (readonly [number, string])[];
}

const file = join(import.meta.dirname, '../../../deploy/dashboards/troupe.json');
const { panels } = JSON.parse(readFileSync(file, 'utf8')) as { readonly panels: readonly Panel[] };
const targets = panels.flatMap(({ title, targets: all = [] }) => all.map((one) => ({ title, ...one })));

/** Units of Grafana (packages/grafana-data/src/valueFormats/categories.ts) that the dashboard may use. */
const UNITS = ['none', 's', 'reqps', 'ops', 'bytes', 'Bps', 'percentunit'];
/** Seconds between two scrapes, and the window of a rate: wide enough for a machine that stands still meanwhile. */
const SCRAPE_S = 1;
const WINDOW_S = 240;

/** With the variables as Grafana fills them in for "All". */
const filled = (expr: string): string =>
  expr.replaceAll('$instance', '.*').replaceAll('$__rate_interval', `${WINDOW_S}s`);

/** The text of a scrape in which counters and histograms have grown `times` as large. */
function grown(text: string, times: number): string {
  const kinds = new Map([...text.matchAll(/^# TYPE (\S+) (\S+)$/gmu)].map(([, name, kind]) => [name, kind]));
  const lines = text.split('\n').map((line) => {
    const [, series = '', name = '', value] = /^(([a-z_]+)(?:\{.*\})?) (\S+)$/u.exec(line) ?? [];
    const base = kinds.has(name) ? name : name.replace(/_(?:bucket|sum|count)$/u, '');
    const isGrowing = ['counter', 'histogram'].includes(kinds.get(base) ?? '');
    return value === undefined || !isGrowing ? line : `${series} ${Number(value) * times}`;
  });
  return lines.join('\n');
}

describe('deploy/dashboards/troupe.json', () => {
  const ends: (() => unknown)[] = [];
  let origin = '';
  let scrapes = 0;

  beforeAll(async () => {
    const full = fullMetrics();
    // measures the store, whose figures the next one has
    await full.text();
    const text = await full.text();
    const metrics = createServer((_request, response) => {
      scrapes += 1;
      response.setHeader('content-type', 'text/plain; version=0.0.4');
      response.end(grown(text, scrapes));
    });
    await new Promise<void>((resolve) => void metrics.listen(0, '127.0.0.1', resolve));
    ends.push(
      () => metrics.closeAllConnections(),
      () => metrics.close(),
    );
    const directory = mkdtempSync(join(tmpdir(), 'troupe-dashboard-'));
    ends.push(() => rmSync(directory, { recursive: true, force: true }));
    const { port } = metrics.address() as AddressInfo;
    const config = join(directory, 'prometheus.yml');
    writeFileSync(
      config,
      stringify({
        global: { scrape_interval: `${SCRAPE_S}s` },
        scrape_configs: [{ job_name: 'troupe', static_configs: [{ targets: [`127.0.0.1:${port}`] }] }],
      }),
    );
    origin = await prometheus(config, directory);
    // counters have a rate from their second value on
    await until(async () => (await drawn('rate(troupe_rpcs_total[$__rate_interval])')).length > 0);
  });
  afterAll(() => {
    for (const end of ends.toReversed()) end();
  });

  /** Starts it on a free port, and resolves to its address once it serves. */
  async function prometheus(config: string, directory: string): Promise<string> {
    const program = inTree(debianTree('prometheus'), 'usr/bin/prometheus');
    const child = spawn(
      program,
      [
        `--config.file=${config}`,
        `--storage.tsdb.path=${join(directory, 'data')}`,
        '--web.listen-address=127.0.0.1:0',
        '--log.level=info',
      ],
      { stdio: ['ignore', 'ignore', 'pipe'] },
    );
    const ended = new Promise<void>((resolve) => void child.once('close', () => resolve()));
    ends.push(() => child.kill('SIGKILL'));
    let log = '';
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => (log += chunk));
    void ended.then(() => (log += 'ended'));
    return until(() => {
      if (log.endsWith('ended')) throw new Error(log);
      const [, address] = /Listening on" address=(127\.0\.0\.1:\d+)/u.exec(log) ?? [];
      return address === undefined ? undefined : `http://${address}`;
    });
  }

  /** What a panel shows of the last seconds. */
  async function drawn(expr: string): Promise<readonly Series[]> {
    const now = Date.now() / 1000;
    const query = new URLSearchParams({
      query: filled(expr),
      start: String(now - 2 * SCRAPE_S),
      end: String(now),
      step: String(SCRAPE_S),
    });
    const answer = (await (await fetch(`${origin}/api/v1/query_range?${query.toString()}`)).json()) as {
      readonly status: string;
      readonly error?: string;
      readonly data?: { readonly result: readonly Series[] };
    };
    expect({ expr, status: answer.status, error: answer.error }).toEqual({
      expr,
      status: 'success',
      error: undefined,
    });
    return answer.data?.result ?? [];
  }

  it.each(targets.map(({ title, expr, legendFormat = '' }) => [title, expr, legendFormat]))(
    'panel %s: %s has values, each series with its legend',
    async (_title, expr, legend) => {
      // panels of what is wrong are empty where nothing is
      const all = expr.replace(/ (?:== 0|> 0)$/u, '');
      const series = await drawn(all);
      const values = series.flatMap((one) => one.values.map(([, value]) => Number(value)));
      expect(values.some((value) => Number.isFinite(value))).toBe(true);
      const legends = series.map(({ metric }) =>
        legend.replaceAll(/\{\{([a-z_]+)\}\}/gu, (_all, label: string) => metric[label] ?? `no ${label}`),
      );
      expect(legends.filter((one) => one.includes('no '))).toEqual([]);
      // lines of one name can't be distinguished
      expect(new Set(legends).size).toBe(legends.length);
      if (all !== expr) await drawn(expr);
    },
  );

  it('the variable of nodes has the scraped one', async () => {
    const answer = (await (
      await fetch(`${origin}/api/v1/label/instance/values?match[]=troupe_build_info`)
    ).json()) as {
      readonly data: readonly string[];
    };
    expect(answer.data).toEqual([expect.stringMatching(/^127\.0\.0\.1:\d+$/u)]);
  });

  it('has units that Grafana knows', () => {
    const units = panels.flatMap(({ fieldConfig }) => fieldConfig?.defaults.unit ?? []);
    expect(units.filter((unit) => !UNITS.includes(unit))).toEqual([]);
  });
});
