/**
 * The machines of the instances of the daemon in this process, built once: building them anew at each boot took a sixth
 * of a run. Their effects reach the parts of the instance that got the set last through stand-ins; no effect of an
 * earlier one begins after that, since nothing of an epoch that has ended is delivered.
 */
import type { MachineParts, Machines } from '../../src/actors/machines.ts';
import { machinesOf } from '../../src/actors/machines.ts';

type Build = (parts: MachineParts) => Machines;

/** One for each instance that runs at once. */
const sets: Build[] = [];

/** For createTroupe: the same machines, over these parts from now on. Instances that run at once have several sets. */
export function sharedMachines(set: number): Build {
  while (sets.length <= set) sets.push(machineSet());
  return sets[set] ?? machineSet();
}

function machineSet(): Build {
  let present: MachineParts | undefined;
  let built: Machines | undefined;
  const now = (): MachineParts => {
    if (present === undefined) throw new Error('the machines were given to no instance');
    return present;
  };
  const memberNow = <K extends keyof MachineParts>(name: K): MachineParts[K] => standIn(() => now()[name]);
  return (parts) => {
    present = parts;
    built ??= machinesOf({
      ports: portsNow(now),
      activity: memberNow('activity'),
      layers: memberNow('layers'),
      progress: memberNow('progress'),
      containersOf: memberNow('containersOf'),
    });
    return built;
  };
}

/** Each port has a stand-in of its own: effects take the ports apart when they are built. */
function portsNow(now: () => MachineParts): MachineParts['ports'] {
  const ports = new Map<PropertyKey, unknown>();
  return new Proxy({} as MachineParts['ports'], {
    get: (_none, name) => {
      const known = ports.get(name) ?? standIn(() => Reflect.get(now().ports, name) as object);
      ports.set(name, known);
      return known;
    },
  });
}

/** Calls and reads what stands there at that time. */
function standIn<T extends object>(of: () => T): T {
  const calls = new Map<PropertyKey, (...args: readonly unknown[]) => unknown>();
  return new Proxy({} as T, {
    get: (_none, name) => {
      const known = calls.get(name);
      if (known !== undefined) return known;
      const member: unknown = Reflect.get(of(), name);
      if (typeof member !== 'function') return member;
      const call = (...args: readonly unknown[]): unknown => {
        const target = of();
        return Reflect.apply(Reflect.get(target, name) as () => unknown, target, args);
      };
      calls.set(name, call);
      return call;
    },
  });
}
