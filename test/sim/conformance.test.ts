/** The twins keep to what the real drivers are held to (test/integration/conformance runs the same suites on those). */
import type { SandboxId } from '../../src/base/ids.ts';
import { diskConformance } from '../conformance/disk.ts';
import { hostConformance } from '../conformance/host.ts';
import { networkConformance } from '../conformance/network.ts';
import { DiskModel } from './disk-model.ts';
import { diskTwin } from './disk-twin.ts';
import { hostTwin, networkTwin } from './host-network-twins.ts';
import { Kernel } from './kernel.ts';
import { Outside } from './outside.ts';
import { randomStream } from './random.ts';
import { Scheduler } from './scheduler.ts';
import { sandboxSpec } from './specs.ts';

const done = (): Promise<void> => Promise.resolve();

/** A machine of its own; whatever is called happens, step by step. */
function machine() {
  const scheduler = new Scheduler(1);
  scheduler.nextEpoch();
  const kernel = new Kernel(scheduler, randomStream(1, 'kernel'));
  const outside = new Outside(scheduler, randomStream(1, 'faults'));
  const driven = <P extends object>(port: P): P =>
    new Proxy(port, {
      get: (target, key) => {
        const member: unknown = Reflect.get(target, key);
        if (typeof member !== 'function') return member;
        return (...args: readonly unknown[]): unknown => {
          const result: unknown = Reflect.apply(member, target, args);
          return result instanceof Promise ? steps(scheduler, result) : result;
        };
      },
    });
  const sandbox = (number: number) => ({
    id: number.toString(16).padStart(64, '0') as SandboxId,
    spec: sandboxSpec({ name: `pod-${number}`, namespace: 'sim', uid: `${number}`, attempt: 0 }, { sharedPid: false, hostNetwork: false }, ''),
  });
  return { scheduler, kernel, outside, driven, sandbox };
}

async function steps<T>(scheduler: Scheduler, result: Promise<T>): Promise<T> {
  let settled = false;
  const end = (): void => void (settled = true);
  result.then(end, end);
  while (!settled && (await scheduler.step()));
  return result;
}

diskConformance('the twin', async () => ({
  disk: diskTwin(new DiskModel(), async (_operation, effect) => effect()),
  close: done,
}));

networkConformance('the twin', async () => {
  const { scheduler, kernel, outside, driven, sandbox } = machine();
  return {
    port: driven(networkTwin(kernel, outside, scheduler.epoch)),
    sandbox: (number) => {
      const input = sandbox(number);
      kernel.pins.set(input.id, new Set(['net']));
      return input;
    },
    loseNamespace: ({ id }) => void kernel.pins.delete(id),
    leases: () => kernel.leases.size,
    close: done,
  };
});

hostConformance('the twin', async () => {
  const { scheduler, kernel, outside, driven, sandbox } = machine();
  return {
    port: driven(hostTwin(kernel, outside, scheduler.epoch)),
    sandbox,
    hasCgroup: ({ id }) => kernel.cgroups.has(id),
    losePin: async ({ id }, pin) => void kernel.pins.get(id)?.delete(pin),
    close: done,
  };
});
