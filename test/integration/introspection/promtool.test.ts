/** Prometheus' own tool judges the rules of deploy/alerts and the text of a scrape. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { parse, stringify } from 'yaml';
import { debianTree, inTree } from '../../support/tools/debian.ts';
import { fullMetrics } from '../../unit/introspection/full-metrics.ts';

const rulesFile = join(import.meta.dirname, '../../../deploy/alerts/troupe.rules.yaml');

function promtool(
  args: readonly string[],
  input = '',
): { readonly code: number | null; readonly output: string } {
  const program = inTree(debianTree('prometheus'), 'usr/bin/promtool');
  const { status, stdout, stderr } = spawnSync(program, args, { input, encoding: 'utf8' });
  return { code: status, output: `${stdout}${stderr}` };
}

/** Series that make each rule fire: one value a minute, from the beginning to its firing. */
const FIRING: Readonly<Record<string, readonly (readonly [series: string, values: string])[]>> = {
  TroupeDown: [['up{job="troupe",instance="n"}', '0x120']],
  TroupeNotReady: [['troupe_ready{instance="n"}', '0x120']],
  TroupeRestartsOften: [['process_start_time_seconds{job="troupe",instance="n"}', '0+60x120']],
  TroupeNetworkNotReady: [['troupe_condition{condition="NetworkReady",instance="n"}', '0x120']],
  TroupeDegraded: [['troupe_degraded{condition="DebrisRemoved",instance="n"}', '2x120']],
  TroupeReloadFailed: [['troupe_config_last_reload_successful{instance="n"}', '0x120']],
  TroupeActorQuarantined: [['troupe_actors_quarantined{machine="sandbox",instance="n"}', '1x120']],
  TroupeCleanupPending: [['troupe_debts{machine="sandbox",instance="n"}', '1x120']],
  TroupeEffectStuck: [['troupe_effect_oldest_seconds{effect="addNetwork",instance="n"}', '0+60x120']],
  TroupeCallsFail: [
    ['troupe_rpcs_total{method="RunPodSandbox",code="OK",instance="n"}', '0+1x120'],
    ['troupe_rpcs_total{method="RunPodSandbox",code="Unknown",instance="n"}', '0+1x120'],
  ],
  TroupeSlowStart: [
    ['troupe_rpc_duration_seconds_bucket{method="RunPodSandbox",code="OK",le="30",instance="n"}', '0x120'],
    ['troupe_rpc_duration_seconds_bucket{method="RunPodSandbox",code="OK",le="60",instance="n"}', '0+1x120'],
    [
      'troupe_rpc_duration_seconds_bucket{method="RunPodSandbox",code="OK",le="+Inf",instance="n"}',
      '0+1x120',
    ],
  ],
  TroupePullsFail: [['troupe_image_pull_failures_total{reason="denied",instance="n"}', '0+1x120']],
  TroupeCniFails: [
    [
      'troupe_cni_plugin_duration_seconds_count{plugin="bridge",command="ADD",outcome="failed",instance="n"}',
      '0+1x120',
    ],
  ],
  TroupeOomKills: [['troupe_container_oom_kills_total{instance="n"}', '0+1x120']],
  TroupeJournalFails: [['troupe_journal_sync_failures_total{instance="n"}', '0+1x120']],
  TroupeSlowJournal: [
    ['troupe_journal_sync_duration_seconds_bucket{le="1",instance="n"}', '0x120'],
    ['troupe_journal_sync_duration_seconds_bucket{le="5",instance="n"}', '0+1x120'],
    ['troupe_journal_sync_duration_seconds_bucket{le="+Inf",instance="n"}', '0+1x120'],
  ],
  TroupeEventsDropped: [['troupe_events_dropped_total{stream="GetContainerEvents",instance="n"}', '0+1x120']],
  TroupeEventLoopBlocked: [['troupe_event_loop_lag_seconds{quantile="0.99",instance="n"}', '0.8x120']],
  TroupeFileDescriptors: [
    ['process_open_fds{job="troupe",instance="n"}', '900x120'],
    ['process_max_fds{job="troupe",instance="n"}', '1024x120'],
  ],
  TroupeSpansDropped: [['troupe_trace_spans_dropped_total{instance="n"}', '0+1x120']],
};

/** The same metrics of a node on which all is well. */
const HEALTHY: readonly (readonly [series: string, values: string])[] = [
  ['up{job="troupe",instance="n"}', '1x120'],
  ['troupe_ready{instance="n"}', '1x120'],
  ['process_start_time_seconds{job="troupe",instance="n"}', '5x120'],
  ['troupe_condition{condition="NetworkReady",instance="n"}', '1x120'],
  ['troupe_degraded{condition="DebrisRemoved",instance="n"}', '0x120'],
  ['troupe_config_last_reload_successful{instance="n"}', '1x120'],
  ['troupe_effect_oldest_seconds{effect="fetchLayers",instance="n"}', '0+60x120'],
  ['troupe_rpcs_total{method="RunPodSandbox",code="OK",instance="n"}', '0+10x120'],
  ['troupe_rpcs_total{method="RunPodSandbox",code="Unknown",instance="n"}', '0+1x120'],
  ['troupe_debts{machine="sandbox",instance="n"}', '0x120'],
  ['troupe_event_loop_lag_seconds{quantile="0.99",instance="n"}', '0.001x120'],
];

const EVALUATED = '115m';

interface TestGroup {
  readonly name: string;
  readonly series: readonly (readonly [string, string])[];
  readonly firing: readonly string[];
}

/** Runs promtool's tests of rules: exactly the alerts of each group fire at the end. */
function testRules(groups: readonly TestGroup[]): ReturnType<typeof promtool> {
  const directory = mkdtempSync(join(tmpdir(), 'troupe-rules-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  const file = join(directory, 'test.yaml');
  const tests = groups.map(({ name, series, firing }) => ({
    name,
    interval: '1m',
    input_series: series.map(([one, values]) => ({ series: one, values })),
    promql_expr_test: [
      {
        expr: 'count by (alertname) (ALERTS{alertstate="firing"})',
        eval_time: EVALUATED,
        exp_samples: firing.map((alert) => ({ labels: `{alertname="${alert}"}`, value: 1 })),
      },
    ],
  }));
  writeFileSync(file, stringify({ rule_files: [rulesFile], evaluation_interval: '1m', tests }));
  return promtool(['test', 'rules', file]);
}

describe('deploy/alerts', () => {
  it('is valid', () => {
    expect(promtool(['check', 'rules', rulesFile])).toMatchObject({ code: 0 });
  });

  it('each rule fires where its reason exists, and no other does', () => {
    const { groups } = parse(readFileSync(rulesFile, 'utf8')) as {
      readonly groups: readonly { readonly rules: readonly { readonly alert: string }[] }[];
    };
    expect(Object.keys(FIRING)).toEqual(groups.flatMap(({ rules }) => rules.map(({ alert }) => alert)));
    const firing = Object.entries(FIRING).map(([name, series]) => ({ name, series, firing: [name] }));
    expect(testRules(firing)).toMatchObject({ code: 0 });
  });

  it('none fires on a node on which all is well', () => {
    expect(testRules([{ name: 'healthy', series: HEALTHY, firing: [] }])).toMatchObject({ code: 0 });
  });

  it('the tests of rules would notice: they fail where an alert is expected that does not fire', () => {
    expect(testRules([{ name: 'wrong', series: HEALTHY, firing: ['TroupeDown'] }]).code).not.toBe(0);
  });
});

it('a scrape is text that Prometheus reads, with names and types as its guidelines want them', async () => {
  const text = await fullMetrics().text();
  const { output } = promtool(['check', 'metrics'], text);
  // our quantiles of the event loop's delay since the last scrape are gauges: they are no summary of observations
  const known = 'troupe_event_loop_lag_seconds non-summary metrics should not have "quantile" label';
  expect(output.split('\n').filter((line) => line !== '' && line !== known)).toEqual([]);
});
