// A driver over a node that the test shows, and plugins that join it.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Socket } from 'node:net';
import type { EffectContext } from '../../../src/ports/effect.ts';
import type { NriContainer, NriNode, NriPod } from '../../../src/ports/nri.ts';
import type { Resources } from '../../../src/ports/specs.ts';
import { fail } from '../../../src/base/fault.ts';
import type { ContainerId } from '../../../src/base/ids.ts';
import { nriLimits } from '../../../src/nri/bounds.ts';
import { silentLog } from '../../../src/base/log.ts';
import { Plugin as PluginService } from '../../../src/gen/nri/v1alpha1/api_pb.ts';
import { NriDriver } from '../../../src/nri/driver.ts';
import type { NriOptions } from '../../../src/nri/driver.ts';
import { generateSpec } from '../../../src/oci/runtime/spec/generate.ts';
import type { OciSpec } from '../../../src/oci/runtime/spec/types.ts';
import { limitsOf } from '../../../src/oci/runtime/spec/resources.ts';
import { HandClock } from '../../support/hand-clock.ts';
import { process } from '../actors/fixtures.ts';
import { CONTAINER_ID, SANDBOX_ID, container, inputOf, sandbox } from '../oci/runtime/spec/fixtures.ts';
import { FakePlugin } from './fake-plugin.ts';
import { loopTurn } from '../../support/turns.ts';

const { method } = PluginService;
export const OTHER = 'd'.repeat(64) as ContainerId;

export const pod: NriPod = { id: SANDBOX_ID, spec: sandbox, ips: ['10.0.0.2'], pause: undefined };
export const main: NriContainer = {
  id: CONTAINER_ID,
  spec: container,
  image: { id: container.imageId, ref: 'r@sha256:1', layers: [] },
  criState: 'created',
  init: process,
  createdAtNs: 1n,
  startedAtNs: undefined,
  exit: undefined,
};

export const validator = {
  enable: false,
  reject_oci_hook_adjustment: false,
  reject_runtime_default_seccomp_adjustment: false,
  reject_unconfined_seccomp_adjustment: false,
  reject_custom_seccomp_adjustment: false,
  reject_namespace_adjustment: false,
  reject_sysctl_adjustment: false,
  required_plugins: [] as string[],
  tolerate_missing_plugins_annotation: '',
};

interface Visible {
  pods: NriPod[];
  containers: NriContainer[];
}

/** The node as plugins see it; what they change or evict is kept in `changed`. */
function nodeOf(visible: Visible, changed: string[]): NriNode {
  return {
    pods: () => visible.pods,
    containers: () => visible.containers,
    pod: () => pod,
    container: (id) => visible.containers.find((one) => one.id === id) ?? { ...main, id },
    update: async (id, change: Resources) => {
      if (id === 'e'.repeat(64)) fail('notFound', `update ${id}: container not found`);
      changed.push(`${id === OTHER ? 'other' : id} ${change.cpuShares ?? ''}`);
    },
    evict: async (id, reason) => {
      changed.push(`evict ${id} ${reason}`);
    },
  };
}

type Driven = Pick<NriOptions, 'clock' | 'requestMs' | 'validator' | 'documentOf'>;

/** A started driver, and the way by which a connection comes to it. */
async function startDriver(node: NriNode, options: Driven) {
  let connect: ((socket: Socket) => void) | undefined;
  const directory = await mkdtemp(join(tmpdir(), 'nri-unit-'));
  const driver = new NriDriver({
    log: silentLog,
    socket: join(directory, 's'),
    pluginDirectory: '',
    configDirectory: directory,
    registrationMs: nriLimits.registrationMs,
    runtime: { name: 'troupe', version: '1' },
    namespacesOf: () => [],
    ...options,
    listen: (_path, onConnection) => {
      connect = onConnection;
      return Promise.resolve({ close: () => Promise.resolve() });
    },
  });
  driver.attach(node);
  await driver.start();
  await rm(directory, { recursive: true });
  return { driver, connect: (fake: FakePlugin): void => connect?.(fake.trunk as Socket) };
}

/** Connects and registers the plugin; returns once it is synchronized. */
async function bring(
  fake: FakePlugin,
  connect: (fake: FakePlugin) => void,
  index: string,
  name: string,
): Promise<void> {
  const synchronized = new Promise<void>((resolve) => {
    const before = fake.synchronize;
    fake.on(method.synchronize, (request) => {
      if (!request.more) setImmediate(resolve);
      return before(request);
    });
  });
  connect(fake);
  await fake.registers(name, index);
  await synchronized;
  await loopTurn();
}

export async function stage(
  rules: Partial<typeof validator> = {},
  document?: OciSpec,
  requestMs: number = nriLimits.requestMs,
) {
  const clock = new HandClock();
  const changed: string[] = [];
  const visible: Visible = { pods: [], containers: [] };
  const { driver, connect } = await startDriver(nodeOf(visible, changed), {
    clock,
    requestMs,
    validator: { ...validator, ...rules },
    documentOf: () => Promise.resolve(document),
  });
  const notes: string[] = [];
  const fx = (signal = new AbortController().signal): EffectContext => ({
    signal,
    timeoutMs: 1000,
    note: ({ on }) => notes.push(on),
  });
  const joins = async (
    index: string,
    name: string,
    prepare: (fake: FakePlugin) => void = () => undefined,
  ): Promise<FakePlugin> => {
    const fake = new FakePlugin(clock).hearsAll();
    prepare(fake);
    await bring(fake, connect, index, name);
    return fake;
  };
  const wanted = inputOf();
  const adjust = () =>
    driver.adjust(
      {
        id: CONTAINER_ID,
        sandboxId: SANDBOX_ID,
        spec: container,
        sandbox,
        handler: '',
        image: wanted.image,
        pidNamespaceOf: undefined,
      },
      generateSpec(wanted),
      (limits) => limitsOf(limits, wanted.host),
      fx(),
    );
  /** Connects and says nothing. */
  const silent = (): FakePlugin => {
    const fake = new FakePlugin(clock);
    connect(fake);
    return fake;
  };
  return { clock, driver, changed, visible, fx, notes, joins, silent, adjust };
}
