/** The twins' machine for the conformance suites. */
import type { SandboxId } from '../../src/base/ids.ts';
import { Kernel } from './kernel.ts';
import { Outside } from './outside.ts';
import { randomStream } from './random.ts';
import { Scheduler } from './scheduler.ts';
import { sandboxSpec } from './specs.ts';
import { loopTurn } from '../support/turns.ts';

/** A machine of its own; whatever is called happens, step by step. */
export function machine() {
  const scheduler = new Scheduler(1);
  scheduler.nextEpoch();
  const kernel = new Kernel(scheduler, randomStream(1, 'kernel'));
  const outside = new Outside(scheduler, randomStream(1, 'faults'), randomStream(1, 'helpers'));
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
    spec: sandboxSpec(
      { name: `pod-${number}`, namespace: 'sim', uid: `${number}`, attempt: 0 },
      { sharedPid: false, hostNetwork: false },
      '',
    ),
  });
  return { scheduler, kernel, outside, driven, sandbox };
}

async function steps<T>(scheduler: Scheduler, result: Promise<T>): Promise<T> {
  let settled = false;
  const end = (): void => void (settled = true);
  result.then(end, end);
  // a call may wait for its turn before the first of its effects
  await loopTurn();
  while (!settled && (await scheduler.step()));
  return result;
}
