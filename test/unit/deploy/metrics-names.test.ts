// Dashboards, rules and docs name only metrics that exist, with labels that they have.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { registered } from '../../../scripts/support/charts/metrics-page.ts';

const checkout = join(import.meta.dirname, '../../..');
const textOf = (file: string): string => readFileSync(join(checkout, file), 'utf8');

/** Name of each series → its metric's labels; Prometheus adds `instance`, `job` and, to buckets, `le`. */
const known = new Map<string, ReadonlySet<string>>(
  registered().flatMap(({ name, kind, labels }) => {
    const own = ['instance', 'job', ...labels];
    if (kind !== 'histogram') return [[name, new Set(own)]];
    return [
      [`${name}_bucket`, new Set([...own, 'le'])],
      [`${name}_sum`, new Set(own)],
      [`${name}_count`, new Set(own)],
    ];
  }),
);

const FUNCTIONS: ReadonlySet<string> = new Set(
  'sum by rate increase changes histogram_quantile min max label_values'.split(' '),
);
const PROMETHEUS: ReadonlySet<string> = new Set(['up']);

/** What an expression of PromQL names wrongly: unknown metrics and functions, labels that a metric lacks. */
function faultsOf(expression: string): readonly string[] {
  const faults: string[] = [];
  const plain = expression.replaceAll(/"(?:[^"\\]|\\.)*"/gu, '""').replaceAll(/\[[^\]]*\]/gu, '');
  const named: ReadonlySet<string>[] = [];
  for (const [, name = '', matchers = ''] of plain.matchAll(/\b([a-z_]+)\b\s*(?:\{([^}]*)\})?/gu)) {
    if (name.includes('_') && !FUNCTIONS.has(name)) {
      const labels = known.get(name);
      if (labels === undefined) faults.push(`${name}: no such metric`);
      else {
        named.push(labels);
        for (const [label] of matchers.matchAll(/[a-z_]+(?=\s*(?:=|!=|=~|!~)"")/gu))
          if (!labels.has(label)) faults.push(`${name}: no label ${label}`);
      }
    }
  }
  for (const [, list = ''] of plain.matchAll(/\bby\s*\(([^)]*)\)/gu))
    for (const label of list.split(',').map((one) => one.trim()))
      if (!named.some((labels) => labels.has(label))) faults.push(`by (${label}): no metric has it`);
  const isBalanced = ['()', '{}', '[]'].every(
    ([open, close]) => expression.split(open ?? '').length === expression.split(close ?? '').length,
  );
  return isBalanced ? faults : [...faults, 'brackets'];
}

/** Without the lists of `by` and the matchers, which hold labels. */
const withoutLabels = (expression: string): string =>
  expression.replaceAll(/\bby\s*\([^)]*\)/gu, 'by').replaceAll(/\{[^}]*\}/gu, '');

function wordsOf(expression: string): readonly string[] {
  return [
    ...withoutLabels(expression)
      .replaceAll(/\[[^\]]*\]/gu, '')
      .matchAll(/[a-z_]+/gu),
  ].map(([word]) => word);
}

interface RuleOfFile {
  readonly alert: string;
  readonly expr: string;
  readonly for?: string;
  readonly labels: { readonly severity: string };
  readonly annotations: { readonly summary: string; readonly description: string };
}

interface Rules {
  readonly groups: readonly { readonly name: string; readonly rules: readonly RuleOfFile[] }[];
}

describe('deploy/alerts', () => {
  const rules = readdirSync(join(checkout, 'deploy/alerts')).flatMap((file) =>
    (parse(textOf(join('deploy/alerts', file))) as Rules).groups.flatMap((group) => group.rules),
  );

  test('rules have names of their own, a severity, and say what to do', () => {
    expect(rules.length).toBeGreaterThan(15);
    expect(new Set(rules.map(({ alert }) => alert)).size).toBe(rules.length);
    for (const { alert, labels, annotations, for: duration = '1m' } of rules) {
      expect(alert).toMatch(/^Troupe[A-Z][A-Za-z]+$/u);
      expect(['critical', 'warning', 'info']).toContain(labels.severity);
      expect(annotations.summary).toContain('{{ $labels.instance }}');
      expect(annotations.description).toMatch(/\.$/u);
      expect(duration).toMatch(/^\d+[mh]$/u);
    }
  });

  test.each(rules.map(({ alert, expr }) => [alert, expr]))('%s', (_alert, expr) => {
    expect(faultsOf(expr)).toEqual([]);
    const strange = wordsOf(expr).filter(
      (word) => !known.has(word) && !FUNCTIONS.has(word) && !PROMETHEUS.has(word),
    );
    expect(strange).toEqual([]);
  });

  test('labels that a text names are labels of the expression’s result', () => {
    const wrong = rules.flatMap(({ alert, expr, annotations }) => {
      const grouped = [...expr.matchAll(/\bby\s*\(([^)]*)\)/gu)]
        .flatMap(([, list = '']) => list.split(','))
        .map((label) => label.trim());
      const metric = wordsOf(expr).find((word) => known.has(word) || PROMETHEUS.has(word)) ?? '';
      const labels =
        grouped.length > 0 ? new Set(grouped) : (known.get(metric) ?? new Set(['instance', 'job']));
      return [...`${annotations.summary} ${annotations.description}`.matchAll(/\$labels\.([a-z_]+)/gu)]
        .map(([, label = '']) => label)
        .filter((label) => !labels.has(label))
        .map((label) => `${alert}: ${label}`);
    });
    expect(wrong).toEqual([]);
  });
});

describe('deploy/dashboards', () => {
  const expressions = readdirSync(join(checkout, 'deploy/dashboards'))
    .filter((file) => file.endsWith('.json'))
    .flatMap((file) => [
      ...textOf(join('deploy/dashboards', file)).matchAll(/"(?:expr|query)": ("(?:[^"\\]|\\.)*")/gu),
    ])
    .map(([, quoted = '""']) => JSON.parse(quoted) as string)
    .filter((expression) => expression.includes('('));

  test('name only metrics and labels that exist', () => {
    expect(expressions.length).toBeGreaterThan(30);
    const wrong = expressions.flatMap((expression) =>
      faultsOf(expression).map((one) => `${expression}: ${one}`),
    );
    expect(wrong).toEqual([]);
  });
});

test('the check finds what is wrong', () => {
  expect(faultsOf('rate(troupe_rpc_total[5m])')).toEqual(['troupe_rpc_total: no such metric']);
  expect(faultsOf('troupe_rpcs_total{kode="OK"}')).toEqual(['troupe_rpcs_total: no label kode']);
  expect(faultsOf('sum by (state) (troupe_rpcs_total)')).toEqual(['by (state): no metric has it']);
  expect(faultsOf('sum(troupe_rpcs_total')).toEqual(['brackets']);
});

test('docs/metrics.md maps the others’ names to metrics that exist', () => {
  const [, mapped = ''] = textOf('docs/metrics.md').split('## From other runtimes');
  const ours = [...mapped.matchAll(/`((?:rate\()?(?:troupe|grpc_server)_[^`]*)`/gu)].map(
    ([, name = '']) => name,
  );
  expect(ours.length).toBeGreaterThan(20);
  const bases = new Set(registered().map(({ name }) => name));
  const wrong = ours.filter((expression) => {
    const [name = ''] = /(?:troupe|grpc_server)_[a-z_]+/u.exec(expression) ?? [];
    return !known.has(name) && !bases.has(name);
  });
  expect(wrong.filter((name) => !name.startsWith('grpc_server_handling'))).toEqual([]);
});
