import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { Conditions } from '../../../src/base/conditions.ts';
import { fault } from '../../../src/base/fault.ts';
import { metricsLimits } from '../../../src/introspection/bounds.ts';
import { silentLog } from '../../../src/base/log.ts';
import type { DiskFile, DiskPort } from '../../../src/ports/disk.ts';
import { Registry } from '../../../src/introspection/metrics.ts';
import { meteredDisk } from '../../../src/introspection/metrics-ports.ts';
import { HandClock } from '../../support/hand-clock.ts';
import { call, linesOf, metricsOf } from './full-metrics.ts';
import { container, sandbox, stage } from './stage.ts';

describe('degradations', () => {
  test('F89 each condition has a series: 0 when all is well, else the number of its subjects', async () => {
    const conditions = new Conditions(silentLog);
    const metrics = metricsOf(new HandClock(), conditions);
    expect(await linesOf(metrics, 'troupe_degraded{')).toContain(
      'troupe_degraded{condition="DebrisRemoved"} 0',
    );
    for (const subject of ['/a', '/b'])
      conditions.report({ type: 'DebrisRemoved', subject, reason: 'EPERM' });
    const lines = await linesOf(metrics, 'troupe_degraded{');
    expect(lines).toContain('troupe_degraded{condition="DebrisRemoved"} 2');
    expect(lines).toContain('troupe_degraded{condition="NodeFilesUsable"} 0');
  });
});

describe('daemons before this one', () => {
  test('are counted with what they hold, until they end', async () => {
    const metrics = metricsOf(new HandClock());
    const former = [{ sessions: 2 }, { sessions: 3 }];
    expect(await linesOf(metrics, 'troupe_former')).toEqual([
      'troupe_former_daemons 0',
      'troupe_former_sessions 0',
    ]);
    metrics.watchFormer(() => former);
    expect(await linesOf(metrics, 'troupe_former')).toEqual([
      'troupe_former_daemons 2',
      'troupe_former_sessions 5',
    ]);
    former.splice(0);
    expect(await linesOf(metrics, 'troupe_former')).toEqual([
      'troupe_former_daemons 0',
      'troupe_former_sessions 0',
    ]);
  });
});

describe('text format', () => {
  test('help, type and one line per series; label values are escaped', () => {
    const registry = new Registry();
    registry.counter('troupe_a_total', 'First line\nand a \\.', ['who']).add(['say "no"\\\n'], 2);
    expect(registry.text()).toContain(
      '# HELP troupe_a_total First line\\nand a \\\\.\n# TYPE troupe_a_total counter\ntroupe_a_total{who="say \\"no\\"\\\\\\n"} 2\n',
    );
  });

  test('a histogram is cumulative, and its last bucket is its count', () => {
    const registry = new Registry();
    const histogram = registry.histogram('troupe_h_seconds', 'x', ['m'], [0.1, 1]);
    for (const value of [0.05, 0.1, 0.5, 7, Number.NaN]) histogram.observe(['a'], value);
    expect(
      registry
        .text()
        .split('\n')
        .filter((line) => line.startsWith('troupe_h')),
    ).toEqual([
      'troupe_h_seconds_bucket{m="a",le="0.1"} 2',
      'troupe_h_seconds_bucket{m="a",le="1"} 3',
      'troupe_h_seconds_bucket{m="a",le="+Inf"} 4',
      'troupe_h_seconds_sum{m="a"} 7.65',
      'troupe_h_seconds_count{m="a"} 4',
    ]);
  });

  test('without labels there are no braces; a counter never falls; infinities have their own spelling', () => {
    const registry = new Registry();
    const counter = registry.counter('troupe_c_total', 'x');
    counter.raiseTo([], 3);
    counter.raiseTo([], 2);
    counter.add([], -1);
    registry.gauge('troupe_g', 'x').set([], -Infinity);
    expect(registry.text()).toContain('\ntroupe_c_total 3\n');
    expect(registry.text()).toContain('\ntroupe_g -Inf\n');
  });

  test('too many label values are left out and counted', () => {
    const registry = new Registry();
    const counter = registry.counter('troupe_c_total', 'x', ['n']);
    for (let value = 0; value < metricsLimits.seriesPerMetric + 3; value += 1) counter.add([String(value)]);
    expect(counter.all()).toHaveLength(metricsLimits.seriesPerMetric);
    expect(registry.text()).toContain('\ntroupe_metrics_series_dropped_total 3\n');
  });

  test('a name is made once', () => {
    const registry = new Registry();
    registry.gauge('troupe_g', 'x');
    expect(() => registry.gauge('troupe_g', 'x')).toThrow('registered twice');
  });
});

describe('what is measured', () => {
  test('calls by RPC and code', async () => {
    const metrics = metricsOf();
    for (const end of [call('RunPodSandbox', 'OK', 300), call('RunPodSandbox', 'DeadlineExceeded', 4000)]) {
      metrics.rpcBegan(end);
      metrics.rpc(end);
    }
    metrics.rpcBegan(call('RunPodSandbox', '', 0));
    expect(await linesOf(metrics, 'troupe_rpcs_total')).toEqual([
      'troupe_rpcs_total{method="RunPodSandbox",code="OK"} 1',
      'troupe_rpcs_total{method="RunPodSandbox",code="DeadlineExceeded"} 1',
    ]);
    expect(await linesOf(metrics, 'troupe_rpc_duration_seconds_sum')).toEqual([
      'troupe_rpc_duration_seconds_sum{method="RunPodSandbox",code="OK"} 0.3',
      'troupe_rpc_duration_seconds_sum{method="RunPodSandbox",code="DeadlineExceeded"} 4',
    ]);
    const labels = 'grpc_type="unary",grpc_service="runtime.v1.RuntimeService",grpc_method="RunPodSandbox"';
    expect(await linesOf(metrics, 'grpc_server_')).toEqual([
      `grpc_server_started_total{${labels}} 3`,
      `grpc_server_handled_total{${labels},grpc_code="OK"} 1`,
      `grpc_server_handled_total{${labels},grpc_code="DeadlineExceeded"} 1`,
    ]);
  });

  test('effects by outcome', async () => {
    const metrics = metricsOf();
    const end = {
      owner: 'sandbox/a',
      effect: 'addNetwork',
      sinceMonoMs: 1000,
      endMonoMs: 1500,
      fault: undefined,
      waits: [],
    };
    metrics.effect({ ...end, outcome: 'ok' });
    metrics.effect({ ...end, outcome: 'failed', fault: fault('outside', 'x') });
    expect(await linesOf(metrics, 'troupe_effects_total')).toEqual([
      'troupe_effects_total{effect="addNetwork",outcome="ok"} 1',
      'troupe_effects_total{effect="addNetwork",outcome="failed"} 1',
    ]);
    expect(await linesOf(metrics, 'troupe_effect_duration_seconds_sum')).toEqual([
      'troupe_effect_duration_seconds_sum{effect="addNetwork"} 1',
    ]);
  });

  test('time in each top state does not distinguish inner states', async () => {
    const clock = new HandClock();
    const metrics = metricsOf(clock);
    const go = (from: string, to: string, final = false): void =>
      metrics.transition({ address: 'pull/a', from, to, on: 'x', cause: '', settled: final, final });
    go('', 'provisioning.{a.x,b.y}');
    await clock.advance(2000);
    go('provisioning.{a.x,b.y}', 'provisioning.{a.z,b.y}');
    await clock.advance(1000);
    go('provisioning.{a.z,b.y}', 'ready', true);
    expect(await linesOf(metrics, 'troupe_state_duration_seconds_sum')).toEqual([
      'troupe_state_duration_seconds_sum{machine="image-pull",state="provisioning"} 3',
    ]);
  });

  test('an actor made at an existing address counts as restarted; a new one does not', async () => {
    const metrics = metricsOf();
    const born = (address: string): void =>
      metrics.transition({
        address,
        from: '',
        to: 'recovering',
        on: 'x',
        cause: '',
        settled: false,
        final: false,
      });
    born('sandbox/a');
    born('sandbox/b');
    born('sandbox/a');
    expect(await linesOf(metrics, 'troupe_actor_restarts_total{machine="sandbox"}')).toEqual([
      'troupe_actor_restarts_total{machine="sandbox"} 1',
    ]);
  });

  test('states, pendingCleanup, quarantines and effects under way are counted at the scrape', async () => {
    const clock = new HandClock();
    const { troupe, put, wait } = stage(clock);
    const metrics = metricsOf(clock);
    metrics.watch(troupe);
    const [one, two, three] = [
      sandbox(1, 'ready'),
      sandbox(2, 'cleanupPending', { pendingCleanup: ['network', 'cgroup'] }),
      sandbox(3, 'provisioning.{network.adding}'),
    ] as const;
    for (const view of [one, two, three]) put(view);
    put(container(1, one, 'quarantined'));
    const end = wait(three, 'addNetwork', 60_000, { on: 'CNI ADD bridge' });
    await clock.advance(4000);
    const text = await metrics.text();
    for (const line of [
      'troupe_sandboxes{state="ready"} 1',
      'troupe_sandboxes{state="cleanupPending"} 1',
      'troupe_sandboxes{state="provisioning"} 1',
      'troupe_sandboxes{state="removing"} 0',
      'troupe_containers{state="quarantined"} 1',
      'troupe_containers{state="running"} 0',
      'troupe_debts{machine="sandbox"} 2',
      'troupe_actors_quarantined{machine="container"} 1',
      'troupe_effects_running{effect="addNetwork"} 1',
      'troupe_effect_oldest_seconds{effect="addNetwork"} 4',
      'troupe_ready 1',
      'troupe_build_info{version="1.2.3"} 1',
      'troupe_process_heap_used_bytes 4096',
      'troupe_process_open_fds 42',
      'troupe_process_cpu_seconds_total 1.5',
      'process_cpu_seconds_total 1.5',
      'process_cpu_user_seconds_total 1',
      'process_cpu_system_seconds_total 0.5',
      'process_resident_memory_bytes 104857600',
      'process_virtual_memory_bytes 209715200',
      'process_open_fds 42',
      'process_max_fds 1024',
      'nodejs_heap_size_used_bytes 4096',
      'nodejs_heap_size_total_bytes 8192',
      'nodejs_external_memory_bytes 1024',
      'nodejs_version_info{version="v24.1.2",major="24",minor="1",patch="2"} 1',
      'nodejs_eventloop_lag_p99_seconds 0.002',
      'nodejs_eventloop_lag_mean_seconds 0.001',
      'troupe_condition{condition="RuntimeReady"} 1',
      'troupe_condition{condition="NetworkReady"} 1',
      'troupe_condition{condition="ConfigurationReloaded"} 1',
      'troupe_event_loop_lag_seconds{quantile="0.99"} 0.002',
    ])
      expect(text).toContain(`\n${line}\n`);
    end();
    await clock.advance(0);
    expect(await linesOf(metrics, 'troupe_effects_running{')).toEqual([]);
  });

  test('each sync of the journal, also one that fails', async () => {
    const clock = new HandClock();
    const reported: [number, boolean][] = [];
    let isBroken = false;
    const file: DiskFile = {
      append: () => Promise.resolve(),
      size: () => Promise.resolve(0),
      close: () => Promise.resolve(),
      sync: async () => {
        await clock.advance(5);
        if (isBroken) throw new Error('EIO');
      },
    };
    const disk: Partial<DiskPort> = { create: () => Promise.resolve(file) };
    const metered = await meteredDisk(disk as DiskPort, clock, (ms, isOk) =>
      reported.push([ms, isOk]),
    ).create('journal.1');
    await metered.sync();
    isBroken = true;
    await expect(metered.sync()).rejects.toThrow('EIO');
    expect(reported).toEqual([
      [5, true],
      [5, false],
    ]);
  });
});

describe('the dashboard', () => {
  const directory = join(import.meta.dirname, '../../../deploy/dashboards');

  test('every panel has an expression and a place of its own', () => {
    for (const file of readdirSync(directory).filter((name) => name.endsWith('.json'))) {
      const { panels, title } = JSON.parse(readFileSync(join(directory, file), 'utf8')) as {
        title: string;
        panels: {
          title: string;
          type: string;
          gridPos: { x: number; y: number; w: number; h: number };
          targets?: { expr: string }[];
        }[];
      };
      expect(title).not.toBe('');
      const overlaps = panels.flatMap((one, at) =>
        panels
          .slice(at + 1)
          .filter(
            ({ gridPos: b }) =>
              one.gridPos.x < b.x + b.w &&
              b.x < one.gridPos.x + one.gridPos.w &&
              one.gridPos.y < b.y + b.h &&
              b.y < one.gridPos.y + one.gridPos.h,
          )
          .map((other) => `${one.title} and ${other.title}`),
      );
      expect(overlaps).toEqual([]);
      expect(
        panels.filter(
          (panel) => panel.type !== 'row' && (panel.targets ?? []).some(({ expr }) => expr === ''),
        ),
      ).toEqual([]);
    }
  });
});
