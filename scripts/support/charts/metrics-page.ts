// The table of metrics in docs/metrics.md, from the metrics as the daemon registers them.
import { Conditions } from '../../../src/base/conditions.ts';
import { silentLog } from '../../../src/base/log.ts';
import type { Registry } from '../../../src/introspection/metrics.ts';
import { TroupeMetrics } from '../../../src/introspection/metrics-set.ts';

/** Replaces what stands between `<!-- metrics -->` and `<!-- end -->`. */
export function metricsPage(old: string): string {
  return old.replace(
    /(<!-- metrics -->\n)[\s\S]*?(<!-- end -->)/u,
    (_all, begin: string, end: string) => `${begin}${table()}\n${end}`,
  );
}

function table(): string {
  const rows = registered()
    .toSorted((a, b) => (a.name < b.name ? -1 : 1))
    .map(({ name, kind, labels, help }) => {
      const shown = labels.map((label) => `\`${label}\``).join(', ');
      return `| \`${name}\` | ${kind} | ${shown === '' ? '–' : shown} | ${help} |`;
    });
  return ['| metric | type | labels | meaning |', '|---|---|---|---|', ...rows].join('\n');
}

/** All metrics. Nothing is measured. */
export function registered(): ReturnType<Registry['all']> {
  const metrics = new TroupeMetrics({
    clock: { monoMs: () => 0, nowNs: () => 0n, setTimeout: () => 0 },
    conditions: new Conditions(silentLog),
    charts: () => [],
    version: '',
    processFacts: () => Promise.reject(new Error('nothing is measured')),
  });
  return metrics.registry.all();
}
