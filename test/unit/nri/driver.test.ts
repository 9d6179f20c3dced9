// The driver with plugins in this process: order, what each of them is told and when, refusals, and the ends of plugins.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Socket } from 'node:net';
import { create } from '@bufbuild/protobuf';
import { describe, expect, test } from 'vitest';
import type { EffectContext } from '../../../src/actors/ports/effect.ts';
import type { NriContainer, NriNode, NriPod } from '../../../src/actors/ports/nri.ts';
import type { Resources } from '../../../src/actors/ports/specs.ts';
import { fail } from '../../../src/base/fault.ts';
import type { ContainerId } from '../../../src/base/ids.ts';
import { actorLimits, nriLimits, ttrpcLimits } from '../../../src/base/limits.ts';
import { silentLog } from '../../../src/base/log.ts';
import { ContainerState, ContainerUpdateSchema, Event, Plugin as PluginService, Runtime } from '../../../src/gen/nri/v1alpha1/api_pb.ts';
import type { ContainerUpdate } from '../../../src/gen/nri/v1alpha1/api_pb.ts';
import { NriDriver } from '../../../src/nri/driver.ts';
import { NO_LIMITS } from '../../../src/actors/ports/resources.ts';
import { generateSpec } from '../../../src/oci/runtime/spec/generate.ts';
import type { OciSpec } from '../../../src/oci/runtime/spec/types.ts';
import { limitsOf } from '../../../src/oci/runtime/spec/resources.ts';
import { ManualClock, exit, process } from '../actors/fixtures.ts';
import { CONTAINER_ID, SANDBOX_ID, container, inputOf, sandbox } from '../oci-spec/fixtures.ts';
import { FakePlugin, never } from './fake-plugin.ts';

const { method } = PluginService;
const OTHER = 'd'.repeat(64) as ContainerId;

const pod: NriPod = { id: SANDBOX_ID, spec: sandbox, ips: ['10.0.0.2'], pause: undefined };
const main: NriContainer = {
  id: CONTAINER_ID, spec: container, image: { id: container.imageId, ref: 'r@sha256:1', layers: [] }, criState: 'created', init: process,
  createdAtNs: 1n, startedAtNs: undefined, exit: undefined,
};

const validator = {
  enable: false, reject_oci_hook_adjustment: false, reject_runtime_default_seccomp_adjustment: false, reject_unconfined_seccomp_adjustment: false,
  reject_custom_seccomp_adjustment: false, reject_namespace_adjustment: false, reject_sysctl_adjustment: false, required_plugins: [] as string[],
  tolerate_missing_plugins_annotation: '',
};

test('F89 a place that can’t be listened at is tried again by the next start, and a directory that can’t be read is reported once', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'nri-unit-'));
  const reported: string[] = [];
  let tries = 0;
  let closed = 0;
  const driver = new NriDriver({
    clock: new ManualClock(), log: silentLog, socket: join(directory, 's'), pluginDirectory: '/proc/self/status', configDirectory: directory,
    registrationMs: nriLimits.registrationMs, requestMs: nriLimits.requestMs, validator, runtime: { name: 'troupe', version: '1' },
    documentOf: () => Promise.resolve(undefined), namespacesOf: () => [],
    onNotStarted: (what, reason) => reported.push(`${what}: ${reason}`),
    listen: async () => {
      tries += 1;
      if (tries === 1) fail('conflict', 'listen on s: something that is no socket is there');
      return { close: async () => void (closed += 1) };
    },
  });
  await expect(driver.start()).rejects.toThrow('no socket');
  await driver.start();
  await driver.start();
  expect(tries).toBe(2);
  expect(reported).toEqual([expect.stringMatching(/^nri plugins: .*ENOTDIR/u)]);
  await driver.close();
  expect(closed).toBe(1);
  await rm(directory, { recursive: true });
});

async function stage(rules: Partial<typeof validator> = {}, document?: OciSpec, requestMs: number = nriLimits.requestMs) {
  const clock = new ManualClock();
  const changed: string[] = [];
  let connect: ((socket: Socket) => void) | undefined;
  const visible: { pods: NriPod[]; containers: NriContainer[] } = { pods: [], containers: [] };
  const node: NriNode = {
    pods: () => visible.pods,
    containers: () => visible.containers,
    pod: () => pod,
    container: (id) => visible.containers.find((one) => one.id === id) ?? { ...main, id },
    update: async (id, change: Resources) => {
      if (id === 'e'.repeat(64)) fail('notFound', `update ${id}: no such container`);
      changed.push(`${id === OTHER ? 'other' : id} ${change.cpuShares ?? ''}`);
    },
    evict: async (id, reason) => {
      changed.push(`evict ${id} ${reason}`);
    },
  };
  const directory = await mkdtemp(join(tmpdir(), 'nri-unit-'));
  const driver = new NriDriver({
    clock, log: silentLog, socket: join(directory, 's'), pluginDirectory: '', configDirectory: directory,
    registrationMs: nriLimits.registrationMs, requestMs, validator: { ...validator, ...rules },
    runtime: { name: 'troupe', version: '1' }, documentOf: () => Promise.resolve(document), namespacesOf: () => [],
    listen: (_path, onConnection) => {
      connect = onConnection;
      return Promise.resolve({ close: () => Promise.resolve() });
    },
  });
  driver.attach(node);
  await driver.start();
  await rm(directory, { recursive: true });
  const notes: string[] = [];
  const fx = (signal = new AbortController().signal): EffectContext => ({ signal, timeoutMs: 1000, note: ({ on }) => notes.push(on) });
  const join_ = async (index: string, name: string, prepare: (fake: FakePlugin) => void = () => undefined): Promise<FakePlugin> => {
    const fake = new FakePlugin(clock).hearsAll();
    prepare(fake);
    const synchronized = new Promise<void>((resolve) => {
      const before = fake.synchronize;
      fake.on(method.synchronize, (request) => {
        if (!request.more) setImmediate(resolve);
        return before(request);
      });
    });
    connect?.(fake.trunk as Socket);
    await fake.registers(name, index);
    await synchronized;
    await new Promise((resolve) => setImmediate(resolve));
    return fake;
  };
  const wish = inputOf();
  const adjust = () => driver.adjust({ id: CONTAINER_ID, sandboxId: SANDBOX_ID, spec: container, sandbox, handler: '', image: wish.image, pidNamespaceOf: undefined },
    generateSpec(wish), (limits) => limitsOf(limits, wish.host), fx());
  /** Connects and says nothing. */
  const silent = (): FakePlugin => {
    const fake = new FakePlugin(clock);
    connect?.(fake.trunk as Socket);
    return fake;
  };
  return { clock, driver, changed, visible, fx, notes, joins: join_, silent, adjust };
}

const shares = (containerId: string, value: bigint): ContainerUpdate =>
  create(ContainerUpdateSchema, { containerId, linux: { resources: { cpu: { shares: { value } } } } });

describe('without a plugin', () => {
  test('nothing is active and nothing changes', async () => {
    const { driver, adjust, fx } = await stage();
    expect(driver.isActive()).toBe(false);
    expect((await adjust()).limits).toBeUndefined();
    await driver.tellPod('RunPodSandbox', SANDBOX_ID, fx());
  });

  test('one that is required keeps containers from being created', async () => {
    const { adjust } = await stage({ enable: true, required_plugins: ['guard'] });
    await expect(adjust()).rejects.toThrow(/required plugin guard is not there/);
  });
});

describe('plugins', () => {
  test('are called in the order of their index, whatever the order in which they came', async () => {
    const { driver, joins, fx, notes } = await stage();
    const order: string[] = [];
    for (const index of ['30', '10', '20']) await joins(index, 'p', (fake) => fake.on(method.runPodSandbox, () => (order.push(index), {})));
    await driver.tellPod('RunPodSandbox', SANDBOX_ID, fx());
    expect(order).toEqual(['10', '20', '30']);
    expect(notes).toEqual(['nri: the turn of others', 'nri 10-p RunPodSandbox', 'nri 20-p RunPodSandbox', 'nri 30-p RunPodSandbox']);
  });

  test('S94 any number of connections that register nothing keep none out that does', async () => {
    const { driver, joins, silent } = await stage();
    for (let made = 0; made < 3 * nriLimits.registering; made += 1) silent();
    await joins('10', 'p');
    expect(driver.plugins().map(({ id }) => id)).toEqual(['10-p']);
  });

  test('a pod that was told is ended once, also when its start was refused', async () => {
    const { driver, joins, fx } = await stage();
    const fake = await joins('10', 'p', (one) => one.on(method.runPodSandbox, () => fail('outside', 'no')));
    await expect(driver.tellPod('RunPodSandbox', SANDBOX_ID, fx())).rejects.toThrow(/refused RunPodSandbox: no/);
    for (const news of ['RemovePodSandbox', 'RemovePodSandbox', 'StopPodSandbox'] as const) await driver.tellPod(news, SANDBOX_ID, fx());
    expect(fake.heard.slice(2)).toEqual(['RunPodSandbox', 'StopPodSandbox', 'RemovePodSandbox']);
  });

  test('a stranger’s end is no news', async () => {
    const { driver, joins, fx } = await stage();
    const fake = await joins('10', 'p');
    await driver.tellContainer('StopContainer', CONTAINER_ID, fx());
    await driver.tellContainer('RemoveContainer', CONTAINER_ID, fx());
    expect(fake.heard.slice(2)).toEqual([]);
  });

  test('the end of a container comes with its exit, although that is not on record yet', async () => {
    const { driver, joins, fx, visible } = await stage();
    visible.containers.push({ ...main, criState: 'running' });
    const told: unknown[] = [];
    await joins('10', 'p', (fake) => fake.on(method.stopContainer, ({ container: one }) => (told.push(one?.state, one?.exitCode, one?.pid), {})));
    await driver.tellContainer('StopContainer', CONTAINER_ID, fx(), exit);
    expect(told).toEqual([ContainerState.CONTAINER_STOPPED, 3, 0]);
  });

  test('one that comes while a pod is on its way hears of it once', async () => {
    const { driver, joins, fx } = await stage();
    await joins('10', 'a');
    await driver.tellPod('RunPodSandbox', SANDBOX_ID, fx());
    const seen: string[] = [];
    const late = await joins('20', 'b', (fake) => {
      fake.synchronize = ({ pods, more }) => (seen.push(...pods.map(({ id }) => id)), { more });
    });
    expect(seen).toEqual([SANDBOX_ID]);
    await driver.tellPod('StopPodSandbox', SANDBOX_ID, fx());
    expect(late.heard.slice(2)).toEqual(['StopPodSandbox']);
  });

  test('what is told afterwards fails nobody', async () => {
    const { driver, joins, fx, visible } = await stage();
    visible.containers.push(main);
    await joins('10', 'p', (fake) => fake.on(method.postStartContainer, () => fail('outside', 'too late')));
    await driver.tellContainer('PostStartContainer', CONTAINER_ID, fx());
  });

  test('one that hangs costs its own bound and is gone; the next one is asked all the same', async () => {
    const { driver, joins, fx, clock } = await stage();
    const reached = Promise.withResolvers<void>();
    await joins('10', 'slow', (fake) => fake.on(method.runPodSandbox, () => (reached.resolve(), never())));
    const other = await joins('20', 'b');
    const told = driver.tellPod('RunPodSandbox', SANDBOX_ID, fx());
    await reached.promise;
    await clock.advance(nriLimits.requestMs);
    await told;
    expect(other.heard.slice(2)).toEqual(['RunPodSandbox']);
    await driver.tellPod('StopPodSandbox', SANDBOX_ID, fx());
    expect(driver.plugins()).toEqual([{ id: '20-b', gone: '' }, { id: '10-slow', gone: 'RunPodSandbox: no answer within 2000 ms' }]);
  });

  test('what does not fit into one message is told in several', async () => {
    const { joins, visible } = await stage();
    const labels = { big: 'x'.repeat(nriLimits.synchronizeBytes - 1000) };
    visible.pods.push(pod);
    visible.containers.push({ ...main, spec: { ...container, labels } }, { ...main, id: OTHER, spec: { ...container, labels } });
    const parts: string[] = [];
    await joins('10', 'p', (fake) => {
      fake.synchronize = ({ pods, containers, more }) => (parts.push(`${pods.length} ${containers.length} ${more}`), { more });
    });
    expect(parts).toEqual(['1 1 true', '0 1 false']);
  });

  test('a container too large for a message is told without its document, and keeps no plugin out', async () => {
    const document = generateSpec(inputOf());
    const { joins, visible, driver } = await stage({}, { ...document, process: { ...document.process, env: [`BIG=${'x'.repeat(ttrpcLimits.messageBytes)}`] } });
    visible.pods.push(pod);
    visible.containers.push(main);
    const told: unknown[] = [];
    await joins('10', 'p', (fake) => {
      fake.synchronize = ({ containers, more }) => (told.push(...containers.map(({ id, env, linux }) => [id, env, linux?.resources?.cpu?.shares?.value])), { more });
    });
    expect(told).toEqual([[CONTAINER_ID, [], container.resources.cpuShares]]);
    expect(driver.plugins()).toEqual([{ id: '10-p', gone: '' }]);
  });
});

describe('CreateContainer', () => {
  test('a later plugin sees what an earlier one made; validators see all of it', async () => {
    const { joins, adjust } = await stage();
    const seen: string[][] = [];
    const validated: unknown[] = [];
    const adds = (name: string) => (fake: FakePlugin): void => {
      fake.on(method.createContainer, ({ container: one }) => (seen.push(one?.env ?? []), { adjust: { env: [{ key: name, value: '1' }] } }));
    };
    await joins('10', 'a', adds('A'));
    await joins('20', 'b', (fake) => {
      adds('B')(fake);
      fake.on(method.validateContainerAdjustment, ({ adjust: all, plugins, owners }) => {
        validated.push(all?.env.map(({ key }) => key), plugins.map(({ index, name }) => `${index}-${name}`), Object.keys(owners?.owners ?? {}));
        return {};
      });
    });
    const { document } = await adjust();
    expect(document.process.env.slice(-2)).toEqual(['A=1', 'B=1']);
    expect(seen.map((env) => env.includes('A=1'))).toEqual([false, true]);
    expect(validated).toEqual([['A', 'B'], ['10-a', '20-b'], [CONTAINER_ID]]);
  });

  test('a validator’s rejection is one, and so is its silence', async () => {
    const { joins, adjust } = await stage();
    const guard = await joins('10', 'guard', (fake) => fake.on(method.validateContainerAdjustment, () => ({ reject: true, reason: 'never' })));
    await expect(adjust()).rejects.toThrow(/nri plugin 10-guard rejected the adjustment: never/);
    guard.on(method.validateContainerAdjustment, () => (guard.dies(), never()));
    await expect(adjust()).rejects.toThrow(/10-guard: ValidateContainerAdjustment: it gave no answer/);
  });

  test.each([
    ['reject_sysctl_adjustment', { linux: { sysctl: { 'kernel.x': '1' } } }, /plugin 10-p adjusted sysctl kernel.x/],
    ['reject_sysctl_adjustment', { linux: { sysctl: { '-kernel.y': '' } } }, /plugin 10-p adjusted sysctl kernel.y/],
    ['reject_namespace_adjustment', { linux: { namespaces: [{ type: 'uts' }] } }, /adjusted namespace uts/],
    ['reject_runtime_default_seccomp_adjustment', { linux: { seccompPolicy: { defaultAction: 'SCMP_ACT_ALLOW' } } }, /the runtimeDefault seccomp policy/],
    ['reject_oci_hook_adjustment', { hooks: { poststop: [{ path: '/x' }] } }, /adjusted OCI hooks/],
  ] as const)('%s by configuration', async (rule, adjusts, message) => {
    const { joins, adjust } = await stage({ enable: true, [rule]: true });
    await joins('10', 'p', (fake) => fake.on(method.createContainer, () => ({ adjust: adjusts as never })));
    await expect(adjust()).rejects.toThrow(message);
  });

  test('all plugins together have a bound of their own within the making of a bundle', async () => {
    const { joins, adjust, clock } = await stage({}, undefined, 2 * actorLimits.pluginsMs);
    // the first one stays within its own
    const reached = new Promise<void>((resolve) => void joins('10', 'p', (fake) => fake.on(method.createContainer, () => (resolve(), never()))));
    await joins('11', 'q');
    const refused = expect(adjust()).rejects.toMatchObject({ fault: { kind: 'timedOut', message: expect.stringMatching(/^create container .*: nri plugins have taken more than 20000 ms$/) } });
    await reached;
    await clock.advance(actorLimits.pluginsMs);
    await refused;
  });

  test('changes and evicts other containers before it settles', async () => {
    const { joins, adjust, changed } = await stage();
    await joins('10', 'p', (fake) => fake.on(method.createContainer, () => ({ update: [shares(OTHER, 7n)], evict: [{ containerId: OTHER, reason: 'room' }] })));
    await adjust();
    expect(changed).toEqual(['other 7', `evict ${OTHER} room`]);
  });
});

describe('UpdateContainer', () => {
  test('may be changed, and changes others', async () => {
    const { driver, joins, fx, changed, visible } = await stage();
    visible.containers.push(main);
    await joins('10', 'p', (fake) => fake.on(method.updateContainer, () => ({ update: [shares(CONTAINER_ID, 5n), shares(OTHER, 6n)] })));
    const wanted = await driver.updateContainer(CONTAINER_ID, { ...NO_LIMITS, cpuQuota: 9n }, fx());
    expect(wanted).toMatchObject({ cpuQuota: 9n, cpuShares: 5n });
    expect(changed).toEqual(['other 6']);
  });

  test('a plugin’s failed update of another container is not told as if this one were missing', async () => {
    const { driver, joins, fx, visible } = await stage();
    visible.containers.push(main);
    await joins('10', 'p', (fake) => fake.on(method.updateContainer, () => ({ update: [shares('e'.repeat(64), 6n)] })));
    await expect(driver.updateContainer(CONTAINER_ID, NO_LIMITS, fx())).rejects.toMatchObject({ fault: { kind: 'outside', message: expect.stringMatching(/^update container e+ as an nri plugin wants it: .*no such container$/) } });
  });

  test('two plugins that want the same limit: no name is taken, so it is not told as one', async () => {
    const { driver, joins, fx, visible } = await stage();
    visible.containers.push(main);
    for (const index of ['10', '11']) await joins(index, 'p', (fake) => fake.on(method.updateContainer, () => ({ update: [shares(OTHER, 6n)] })));
    await expect(driver.updateContainer(CONTAINER_ID, NO_LIMITS, fx())).rejects.toMatchObject({ fault: { kind: 'outside', message: expect.stringContaining('both set') } });
  });

  test('asked for by a plugin itself: what fails is told', async () => {
    const { joins, changed } = await stage();
    const fake = await joins('10', 'p');
    const missing = shares('e'.repeat(64), 1n);
    await expect(fake.client.call(Runtime.method.updateContainers, { update: [shares(OTHER, 3n), missing] })).rejects.toThrow(/no such container/);
    const answer = await fake.client.call(Runtime.method.updateContainers, { update: [shares(OTHER, 4n), { ...missing, ignoreFailure: true }] });
    expect(answer.failed.map(({ containerId }) => containerId)).toEqual(['e'.repeat(64)]);
    expect(changed).toEqual(['other 3', 'other 4']);
  });
});

test('every event has its own bit', () => {
  const numbers = Object.values(Event).filter((event) => event !== Event.UNKNOWN && event !== Event.LAST);
  expect(new Set(numbers).size).toBe(14);
  expect(Math.max(...numbers)).toBe(Event.LAST - 1);
});
