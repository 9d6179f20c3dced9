// What the metrics say about the node and about what has ended, and a scrape of a full node.
import { describe, expect, test } from 'vitest';
import { actorLimits } from '../../../src/actors/bounds.ts';
import type { Troupe } from '../../../src/actors/troupe.ts';
import { fault } from '../../../src/base/fault.ts';
import { metricsLimits } from '../../../src/introspection/bounds.ts';
import { Registry } from '../../../src/introspection/metrics.ts';
import { HandClock } from '../../support/hand-clock.ts';
import { turns } from '../../support/turns.ts';
import { call, linesOf, metricsOf } from './full-metrics.ts';
import { container, pull, sandbox, stage } from './stage.ts';

describe('what has ended', () => {
  test('pulls by outcome, time and reason of the failure, and their bytes', async () => {
    const clock = new HandClock();
    const { troupe, put, drop } = stage(clock);
    const metrics = metricsOf(clock);
    metrics.watch(troupe);
    for (const view of [
      pull('a', 'present'),
      pull('b', 'absent', { fault: fault('outside', 'no') }),
      pull('c', 'absent', { fault: fault('cancelled', 'gone') }),
    ]) {
      put(view);
      await clock.advance(20_000);
      drop(view);
    }
    expect(await linesOf(metrics, 'troupe_image_pull_duration_seconds_sum')).toEqual([
      'troupe_image_pull_duration_seconds_sum{outcome="ok"} 20',
      'troupe_image_pull_duration_seconds_sum{outcome="failed"} 20',
      'troupe_image_pull_duration_seconds_sum{outcome="cancelled"} 20',
    ]);
    metrics.pulledBytes(4096);
    expect(await linesOf(metrics, 'troupe_image_pulls_total')).toEqual(
      ['ok', 'failed', 'cancelled'].map((outcome) => `troupe_image_pulls_total{outcome="${outcome}"} 1`),
    );
    expect(await linesOf(metrics, 'troupe_image_pull_bytes_total')).toEqual([
      'troupe_image_pull_bytes_total 4096',
    ]);
  });

  test.each([
    [fault('notFound', 'manifest unknown'), 'not_found'],
    [fault('denied', 'authentication required'), 'denied'],
    [fault('denied', 'SignatureValidationFailed: no signature'), 'signature'],
    [fault('exhausted', 'no space left on /x'), 'exhausted'],
    [fault('timedOut', 'late'), 'timed_out'],
    [fault('outside', 'pull x: RegistryUnavailable: connection refused'), 'registry_unavailable'],
    [fault('outside', 'digest differs'), 'other'],
    [undefined, 'other'],
  ])('a pull that failed with %o counts as %s', async (why, reason) => {
    const { troupe, put, drop } = stage(new HandClock());
    const metrics = metricsOf();
    metrics.watch(troupe);
    const view = pull('a', 'absent', { fault: why });
    put(view);
    drop(view);
    expect(await linesOf(metrics, 'troupe_image_pull_failures_total{')).toContain(
      `troupe_image_pull_failures_total{reason="${reason}"} 1`,
    );
  });

  test('exits and OOM kills, once each; an exit that was recorded before the start does not count', async () => {
    const { troupe, put, drop } = stage(new HandClock());
    const metrics = metricsOf();
    metrics.watch(troupe);
    const pod = sandbox(1, 'ready');
    const exit = (reason: string) => ({
      exitCode: 137,
      finishedAtNs: 1n,
      oomKilled: reason === 'OOMKilled',
      reason,
      message: '',
      observedBy: 'exitFile' as const,
    });
    put(container(1, pod, 'running'));
    const killed = container(1, pod, 'exited', { exit: exit('OOMKilled') });
    for (const view of [killed, killed, container(2, pod, 'exited', { exit: exit('OOMKilled') })]) put(view);
    drop(killed);
    put(container(3, pod, 'running'));
    put(container(3, pod, 'exited', { exit: exit('a reason of a later version') }));
    expect(await linesOf(metrics, 'troupe_container_oom_kills_total')).toEqual([
      'troupe_container_oom_kills_total 1',
    ]);
    const exits = await linesOf(metrics, 'troupe_container_exits_total{');
    expect(exits.filter((line) => !line.endsWith(' 0'))).toEqual([
      'troupe_container_exits_total{reason="OOMKilled"} 1',
      'troupe_container_exits_total{reason="Other"} 1',
    ]);
  });

  test('runs of CNI plugins by plugin, command and outcome; the number of plugins is bounded', () => {
    const metrics = metricsOf();
    const { outcomes } = metrics;
    const ran = (plugin: string, outcome: 'ok' | 'failed') =>
      outcomes.ran({ plugin, command: 'ADD', outcome, seconds: 2 });
    ran('bridge', 'ok');
    ran('bridge', 'failed');
    for (let at = 0; at < metricsLimits.cniPlugins + 2; at += 1) ran(`p${at}`, 'ok');
    const lines = metrics.registry.text().split('\n');
    expect(lines).toContain(
      'troupe_cni_plugin_duration_seconds_sum{plugin="bridge",command="ADD",outcome="ok"} 2',
    );
    expect(lines).toContain(
      'troupe_cni_plugin_duration_seconds_sum{plugin="bridge",command="ADD",outcome="failed"} 2',
    );
    expect(lines).toContain(
      'troupe_cni_plugin_duration_seconds_sum{plugin="other",command="ADD",outcome="ok"} 6',
    );
  });
});

describe('the node', () => {
  test('F32 a refused reload is seen until one succeeds', async () => {
    const clock = new HandClock(1_000_000);
    const metrics = metricsOf(clock);
    const at = (seconds: number) => `troupe_config_last_reload_success_timestamp_seconds ${seconds}`;
    expect(await linesOf(metrics, 'troupe_config_last')).toEqual([
      'troupe_config_last_reload_successful 1',
      at(1000),
    ]);
    await clock.advance(5000);
    metrics.outcomes.reloaded(false);
    expect(await linesOf(metrics, 'troupe_config_last')).toEqual([
      'troupe_config_last_reload_successful 0',
      at(1000),
    ]);
    expect(await linesOf(metrics, 'troupe_condition{condition="ConfigurationReloaded"}')).toEqual([
      'troupe_condition{condition="ConfigurationReloaded"} 0',
    ]);
    metrics.outcomes.reloaded(true);
    expect(await linesOf(metrics, 'troupe_config_')).toEqual([
      'troupe_config_reloads_total{outcome="ok"} 1',
      'troupe_config_reloads_total{outcome="refused"} 1',
      'troupe_config_last_reload_successful 1',
      at(1005),
    ]);
  });

  test('a network that is not ready, and events that clients lost', async () => {
    const { troupe } = stage(new HandClock());
    const metrics = metricsOf();
    metrics.watch({
      ...troupe,
      networkStatus: () => ({ ready: false, reason: 'NetworkPluginNotReady', message: 'no network' }),
    });
    metrics.outcomes.dropped('GetContainerEvents', 1001);
    expect(await linesOf(metrics, 'troupe_condition{condition="NetworkReady"}')).toEqual([
      'troupe_condition{condition="NetworkReady"} 0',
    ]);
    expect(await linesOf(metrics, 'troupe_events_dropped_total{')).toEqual([
      'troupe_events_dropped_total{stream="GetContainerEvents"} 1001',
      'troupe_events_dropped_total{stream="Watch"} 0',
    ]);
  });

  test('the store is measured beside a scrape, at most once in its time, and not while it does not answer', async () => {
    const clock = new HandClock();
    const { troupe } = stage(clock);
    const metrics = metricsOf(clock);
    let asked = 0;
    let answer = Promise.withResolvers<Awaited<ReturnType<Troupe['imageUsage']>>>();
    const imageUsage: Troupe['imageUsage'] = () => {
      asked += 1;
      return answer.promise;
    };
    metrics.watch({ ...troupe, imageUsage });
    const usage = (usedBytes: bigint) => ({ mountpoint: '/x', usedBytes, inodesUsed: 7n });
    const bytes = (): Promise<readonly string[]> => linesOf(metrics, 'troupe_store_used_bytes{');
    expect(await bytes()).toEqual([]);
    await clock.advance(10 * metricsLimits.storeAgeMs);
    expect([await bytes(), asked]).toEqual([[], 1]);
    answer.resolve({ images: usage(4096n), containers: usage(1024n) });
    await clock.advance(0);
    expect([await bytes(), asked]).toEqual([
      ['troupe_store_used_bytes{part="images"} 4096', 'troupe_store_used_bytes{part="containers"} 1024'],
      1,
    ]);
    expect(await linesOf(metrics, 'troupe_store_used_inodes{part="images"}')).toEqual([
      'troupe_store_used_inodes{part="images"} 7',
    ]);
    answer = Promise.withResolvers();
    await clock.advance(metricsLimits.storeAgeMs);
    await bytes();
    answer.reject(new Error('EIO'));
    await clock.advance(0);
    expect([await bytes(), asked]).toEqual([[], 2]);
  });
});

describe('a scrape of a full node', () => {
  test('lets the event loop continue in between, and has each series once', async () => {
    const clock = new HandClock();
    const { troupe, put } = stage(clock);
    const metrics = metricsOf(clock);
    metrics.watch(troupe);
    const pods = 2 * metricsLimits.viewsPerTurn;
    for (let at = 0; at < pods; at += 1) put(sandbox(at, 'ready'));
    for (let at = 0; at < 400; at += 1) metrics.rpc(call(`Rpc${at}`, 'OK', 1));
    let text: string | undefined;
    void metrics.text().then((made) => (text = made));
    let waits = 0;
    while (text === undefined) {
      await turns();
      waits += clock.timers.size;
      clock.fire(0);
    }
    expect(waits).toBeGreaterThan(1 + text.length / (2 * metricsLimits.charsPerTurn));
    expect(text).toContain(`\ntroupe_sandboxes{state="ready"} ${pods}\n`);
    const names = text
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'))
      .map((line) => line.slice(0, line.lastIndexOf(' ')));
    expect(new Set(names).size).toBe(names.length);
    expect(text.match(/^# TYPE /gmu)?.length).toBe(metrics.registry.all().length);
  });

  test('two servers that ask at once share it', async () => {
    const metrics = metricsOf();
    const first = metrics.text();
    expect(metrics.text()).toBe(first);
    await first;
    expect(metrics.text()).not.toBe(first);
  });

  test('no piece has more series than its bound', () => {
    const registry = new Registry();
    const histogram = registry.histogram('troupe_h_seconds', 'x', ['m'], [1]);
    for (let at = 0; at < 3 * metricsLimits.seriesPerPiece; at += 1) histogram.observe([String(at)], 1);
    const pieces = [...registry.pieces()].map((piece) => piece.match(/_count\{/gu)?.length ?? 0);
    expect(pieces.filter((series) => series > 0)).toEqual(
      Array.from({ length: 3 }, () => metricsLimits.seriesPerPiece),
    );
  });
});

test('the buckets of calls and effects reach the longest that the download of a layer may take', () => {
  const metrics = metricsOf();
  metrics.rpc(call('PullImage', 'OK', actorLimits.fetchLayerMs));
  metrics.effect({
    owner: 'pull/a',
    effect: 'fetchLayers',
    sinceMonoMs: 0,
    endMonoMs: actorLimits.fetchLayerMs,
    outcome: 'ok',
    fault: undefined,
    waits: [],
  });
  const text = metrics.registry.text();
  const last = `le="${actorLimits.fetchLayerMs / 1000}"} 1`;
  expect(text).toContain(`troupe_rpc_duration_seconds_bucket{method="PullImage",code="OK",${last}`);
  expect(text).toContain(`troupe_effect_duration_seconds_bucket{effect="fetchLayers",${last}`);
});
