// The driver with plugins in this process: order, what each of them receives and when, refusals, and the ends of
// plugins.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { fail } from '../../../src/base/fault.ts';
import { nriLimits } from '../../../src/nri/bounds.ts';
import { ttrpcLimits } from '../../../src/ttrpc/bounds.ts';
import { silentLog } from '../../../src/base/log.ts';
import { ContainerState, Event, Plugin as PluginService } from '../../../src/gen/nri/v1alpha1/api_pb.ts';
import { NriDriver } from '../../../src/nri/driver.ts';
import { generateSpec } from '../../../src/oci/runtime/spec/generate.ts';
import { HandClock } from '../../support/hand-clock.ts';
import { exit } from '../actors/fixtures.ts';
import { CONTAINER_ID, SANDBOX_ID, container, inputOf } from '../oci/runtime/spec/fixtures.ts';
import { OTHER, main, pod, stage, validator } from './driver-stage.ts';
import { never } from '../../support/turns.ts';

const { method } = PluginService;

test('F89 a socket that can’t be opened is retried by the next start, and an unreadable directory is reported once', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'nri-unit-'));
  const reported: string[] = [];
  let tries = 0;
  let closed = 0;
  const driver = new NriDriver({
    clock: new HandClock(),
    log: silentLog,
    socket: join(directory, 's'),
    pluginDirectory: '/proc/self/status',
    configDirectory: directory,
    registrationMs: nriLimits.registrationMs,
    requestMs: nriLimits.requestMs,
    validator,
    runtime: { name: 'troupe', version: '1' },
    documentOf: () => Promise.resolve(undefined),
    namespacesOf: () => [],
    onNotStarted: (what, reason) => reported.push(`${what}: ${reason}`),
    listen: async () => {
      tries += 1;
      if (tries === 1) fail('conflict', 'listen on s: exists and is not a socket');
      return { close: async () => void (closed += 1) };
    },
  });
  await expect(driver.start()).rejects.toThrow('exists and is not a socket');
  await driver.start();
  await driver.start();
  expect(tries).toBe(2);
  expect(reported).toEqual([expect.stringMatching(/^nri plugins: .*ENOTDIR/u)]);
  await driver.close();
  expect(closed).toBe(1);
  await rm(directory, { recursive: true });
});

describe('without a plugin', () => {
  test('reports itself inactive and changes nothing', async () => {
    const { driver, adjust, fx } = await stage();
    expect(driver.isActive()).toBe(false);
    expect((await adjust()).limits).toBeUndefined();
    await driver.notifyPod('RunPodSandbox', SANDBOX_ID, fx());
  });

  test('a missing required plugin stops containers from being created, once it is not expected back', async () => {
    const { adjust, clock, notes } = await stage({ enable: true, required_plugins: ['guard'] });
    const adjusted = adjust();
    await expect.poll(() => notes).toContain('nri: required plugin guard');
    await clock.advance(nriLimits.returnMs);
    await expect(adjusted).rejects.toThrow(/required plugin guard not found/);
    // at once
    await expect(adjust()).rejects.toThrow(/required plugin guard not found/);
  });

  test('after a restart or a take-over a container waits for the required plugin, and goes on with it', async () => {
    const { adjust, joins, notes, clock } = await stage({ enable: true, required_plugins: ['guard'] });
    const adjusted = adjust();
    await expect.poll(() => notes).toContain('nri: required plugin guard');
    await joins('10', 'other');
    await joins('20', 'guard');
    expect((await adjusted).limits).toBeUndefined();
    expect(clock.timers.size).toBe(0);
  });
});

describe('plugins', () => {
  test('are called in the order of their index, whatever the order of registration', async () => {
    const { driver, joins, fx, notes } = await stage();
    const order: string[] = [];
    for (const index of ['30', '10', '20'])
      await joins(index, 'p', (fake) => fake.on(method.runPodSandbox, () => (order.push(index), {})));
    await driver.notifyPod('RunPodSandbox', SANDBOX_ID, fx());
    expect(order).toEqual(['10', '20', '30']);
    expect(notes).toEqual([
      'nri: earlier events',
      'nri 10-p RunPodSandbox',
      'nri 20-p RunPodSandbox',
      'nri 30-p RunPodSandbox',
    ]);
  });

  test('S94 any number of connections that register nothing do not stop one that does', async () => {
    const { driver, joins, silent } = await stage();
    for (let made = 0; made < 3 * nriLimits.registering; made += 1) silent();
    await joins('10', 'p');
    expect(driver.plugins().map(({ id }) => id)).toEqual(['10-p']);
  });

  test('an announced pod gets one end event, also when its start was refused', async () => {
    const { driver, joins, fx } = await stage();
    const fake = await joins('10', 'p', (one) => one.on(method.runPodSandbox, () => fail('outside', 'no')));
    await expect(driver.notifyPod('RunPodSandbox', SANDBOX_ID, fx())).rejects.toThrow(
      /refused RunPodSandbox: no/,
    );
    for (const news of ['RemovePodSandbox', 'RemovePodSandbox', 'StopPodSandbox'] as const)
      await driver.notifyPod(news, SANDBOX_ID, fx());
    expect(fake.heard.slice(2)).toEqual(['RunPodSandbox', 'StopPodSandbox', 'RemovePodSandbox']);
  });

  test('the end of an unknown container sends no event', async () => {
    const { driver, joins, fx } = await stage();
    const fake = await joins('10', 'p');
    await driver.notifyContainer('StopContainer', CONTAINER_ID, fx());
    await driver.notifyContainer('RemoveContainer', CONTAINER_ID, fx());
    expect(fake.heard.slice(2)).toEqual([]);
  });

  test('the end of a container comes with its exit, although that is not recorded yet', async () => {
    const { driver, joins, fx, visible } = await stage();
    visible.containers.push({ ...main, criState: 'running' });
    const shown: unknown[] = [];
    await joins('10', 'p', (fake) =>
      fake.on(
        method.stopContainer,
        ({ container: one }) => (shown.push(one?.state, one?.exitCode, one?.pid), {}),
      ),
    );
    await driver.notifyContainer('StopContainer', CONTAINER_ID, fx(), exit);
    expect(shown).toEqual([ContainerState.CONTAINER_STOPPED, 3, 0]);
  });

  test('a plugin that registers during the start of a pod gets it once', async () => {
    const { driver, joins, fx } = await stage();
    await joins('10', 'a');
    await driver.notifyPod('RunPodSandbox', SANDBOX_ID, fx());
    const seen: string[] = [];
    const late = await joins('20', 'b', (fake) => {
      fake.synchronize = ({ pods, more }) => (seen.push(...pods.map(({ id }) => id)), { more });
    });
    expect(seen).toEqual([SANDBOX_ID]);
    await driver.notifyPod('StopPodSandbox', SANDBOX_ID, fx());
    expect(late.heard.slice(2)).toEqual(['StopPodSandbox']);
  });

  test('a failed notification after the fact fails no call', async () => {
    const { driver, joins, fx, visible } = await stage();
    visible.containers.push(main);
    await joins('10', 'p', (fake) => fake.on(method.postStartContainer, () => fail('outside', 'too late')));
    await driver.notifyContainer('PostStartContainer', CONTAINER_ID, fx());
  });

  test('a hanging plugin costs its own bound and is dropped; the next one is still called', async () => {
    const { driver, joins, fx, clock } = await stage();
    const reached = Promise.withResolvers<void>();
    await joins('10', 'slow', (fake) => fake.on(method.runPodSandbox, () => (reached.resolve(), never())));
    const other = await joins('20', 'b');
    const shown = driver.notifyPod('RunPodSandbox', SANDBOX_ID, fx());
    await reached.promise;
    await clock.advance(nriLimits.requestMs);
    await shown;
    expect(other.heard.slice(2)).toEqual(['RunPodSandbox']);
    await driver.notifyPod('StopPodSandbox', SANDBOX_ID, fx());
    expect(driver.plugins()).toEqual([
      { id: '20-b', gone: '' },
      { id: '10-slow', gone: 'RunPodSandbox: timed out after 2000 ms waiting for an answer' },
    ]);
  });

  test('what does not fit into one message is sent in several', async () => {
    const { joins, visible } = await stage();
    const labels = { big: 'x'.repeat(nriLimits.synchronizeBytes - 1000) };
    visible.pods.push(pod);
    visible.containers.push(
      { ...main, spec: { ...container, labels } },
      { ...main, id: OTHER, spec: { ...container, labels } },
    );
    const parts: string[] = [];
    await joins('10', 'p', (fake) => {
      fake.synchronize = ({ pods, containers, more }) => (
        parts.push(`${pods.length} ${containers.length} ${more}`),
        { more }
      );
    });
    expect(parts).toEqual(['1 1 true', '0 1 false']);
  });

  test('a container too large for a message is sent without its document, and drops no plugin', async () => {
    const document = generateSpec(inputOf());
    const { joins, visible, driver } = await stage(
      {},
      { ...document, process: { ...document.process, env: [`BIG=${'x'.repeat(ttrpcLimits.messageBytes)}`] } },
    );
    visible.pods.push(pod);
    visible.containers.push(main);
    const shown: unknown[] = [];
    await joins('10', 'p', (fake) => {
      fake.synchronize = ({ containers, more }) => (
        shown.push(
          ...containers.map(({ id, env, linux }) => [id, env, linux?.resources?.cpu?.shares?.value]),
        ),
        { more }
      );
    });
    expect(shown).toEqual([[CONTAINER_ID, [], container.resources.cpuShares]]);
    expect(driver.plugins()).toEqual([{ id: '10-p', gone: '' }]);
  });
});

test('have their own bit for every event', () => {
  const numbers = Object.values(Event).filter((event) => event !== Event.UNKNOWN && event !== Event.LAST);
  expect(new Set(numbers).size).toBe(14);
  expect(Math.max(...numbers)).toBe(Event.LAST - 1);
});
