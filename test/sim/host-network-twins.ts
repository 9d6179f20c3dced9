/** The host and network ports over the simulated kernel. */
import type { HostPort, HostSandbox } from '../../src/ports/host.ts';
import type { NetworkPort } from '../../src/ports/network.ts';
import { fail } from '../../src/base/fault.ts';
import type { SandboxId } from '../../src/base/ids.ts';
import type { Kernel } from './kernel.ts';
import type { Outside } from './outside.ts';

const NAMESPACES = ['net', 'ipc', 'uts'] as const;
const SEEN = [...NAMESPACES, 'user'] as const;
/** Small, so that leaked leases show soon. */
const ADDRESSES = 24;

/** Files, cgroup, pins. */
export function hostTwin(
  kernel: Kernel,
  outside: Outside,
  epoch: number,
  isBusy: (owner: string) => boolean = () => false,
): HostPort {
  const call = outside.life(epoch);
  const unlessBusy = (what: string, id: string) => (): void => {
    if (isBusy(id)) fail('outside', `${what} of ${id}: EBUSY`);
  };
  const done = (): void => undefined;
  return {
    makeSandboxFiles: ({ id }, fx) => call('host.makeSandboxFiles', fx, [() => kernel.files.add(id)], done),
    removeSandboxFiles: ({ id }, fx) =>
      call(
        'host.removeSandboxFiles',
        fx,
        [unlessBusy('unmount shm', id), () => kernel.files.delete(id)],
        done,
      ),
    makeSandboxCgroup: ({ id }, fx) =>
      call('host.makeSandboxCgroup', fx, [() => kernel.cgroups.add(id)], done),
    removeSandboxCgroup: ({ id }, fx) =>
      call(
        'host.removeSandboxCgroup',
        fx,
        [unlessBusy('remove cgroup', id), () => kernel.cgroups.delete(id)],
        done,
      ),
    pinNamespaces: ({ id, spec: { namespaces } }, fx) => {
      // the user namespace is first: the others are made in it
      const pins = [...(namespaces.user === undefined ? [] : ['user']), ...NAMESPACES];
      return call(
        'host.pinNamespaces',
        fx,
        pins.map((name) => () => pinsOf(kernel, id).add(name)),
        done,
      );
    },
    unpinNamespaces: ({ id }, fx) =>
      call(
        'host.unpinNamespaces',
        fx,
        [() => pinsOf(kernel, id).delete('net'), () => kernel.pins.delete(id)],
        done,
      ),
    observe: (fx) =>
      call('host.observe', fx, [], () => ({ bootId: kernel.bootId, sandboxes: observed(kernel) })),
  };
}

function pinsOf(kernel: Kernel, id: string): Set<string> {
  const pins = kernel.pins.get(id) ?? new Set<string>();
  kernel.pins.set(id, pins);
  return pins;
}

function observed(kernel: Kernel): HostSandbox[] {
  const ids = new Set([...kernel.files, ...kernel.pins.keys()]);
  return [...ids].map((id) => ({
    id: id as SandboxId,
    pins: SEEN.filter((name) => kernel.pins.get(id)?.has(name)),
    files: kernel.files.has(id),
  }));
}

/** What administrators do to the network. */
export interface NetworkMood {
  hasNoNetwork: boolean;
  collectFailures: number;
  readonly made: { networkRefused: number };
}

const CALM: NetworkMood = { hasNoNetwork: false, collectFailures: 0, made: { networkRefused: 0 } };
const NOT_READY = { ready: false, reason: 'NetworkPluginNotReady', message: 'no conflist' } as const;

/** An address pool that forgets nothing by itself. With `collects`, GC releases the leases that belong to nobody. */
export function networkTwin(
  kernel: Kernel,
  outside: Outside,
  epoch: number,
  collects: boolean,
  mood: NetworkMood = CALM,
): NetworkPort {
  const call = outside.life(epoch);
  const nowMs = (): number => outside.scheduler.nowMs;
  return {
    status: () => {
      if (!mood.hasNoNetwork) return { ready: true, reason: '', message: '' };
      mood.made.networkRefused += 1;
      return NOT_READY;
    },
    add: ({ id }, fx) => {
      let address = '';
      const keep = (): void => {
        if (mood.hasNoNetwork) {
          mood.made.networkRefused += 1;
          fail('notReady', `CNI ADD ${id}: no conflist`);
        }
        if (kernel.kept.has(id)) kernel.wrongs.push(`ADD of ${id} without a DEL of what was begun before`);
        if (!kernel.pins.get(id)?.has('net') && !kernel.broken.has(id))
          kernel.wrongs.push(`ADD of ${id} without a network namespace`);
        kernel.kept.add(id);
      };
      const lease = (): void => {
        address = freeAddress(kernel, id);
        kernel.leases.set(address, id);
        kernel.unsynced.leasedMs.set(address, outside.scheduler.nowMs);
      };
      const keepResult = (): void => void kernel.results.set(id, outside.scheduler.nowMs);
      return call('network.add', fx, [keep, lease, keepResult], () => ({ ips: [address] }));
    },
    del: ({ id }, fx) => call('network.del', fx, partsOfDel(kernel, id, nowMs), () => undefined),
    // the plugins of many networks know no GC
    collectable: () => (collects && !mood.hasNoNetwork ? 'twin' : undefined),
    collect: (sandboxes, fx) => {
      const valid: ReadonlySet<string> = new Set(sandboxes);
      const releaseOthers = (): void => {
        if (mood.collectFailures > 0) {
          mood.collectFailures -= 1;
          fail('outside', 'CNI GC: the plugin has failed');
        }
        for (const [address, owner] of kernel.leases)
          if (!valid.has(owner) && !kernel.kept.has(owner)) release(kernel, address, outside.scheduler.nowMs);
      };
      return call('network.collect', fx, [releaseOthers], () => undefined);
    },
    observe: (fx) => call('network.observe', fx, [], () => [...kernel.kept] as SandboxId[]),
  };
}

function freeAddress(kernel: Kernel, id: string): string {
  const all = Array.from({ length: ADDRESSES }, (_none, n) => `10.1.0.${n + 2}`);
  return all.find((one) => !kernel.leases.has(one)) ?? fail('outside', `CNI ADD ${id}: no address is free`);
}

/** With the result of ADD or without one, which a power loss may have taken. */
function partsOfDel(kernel: Kernel, id: string, nowMs: () => number): (() => void)[] {
  return [
    () => {
      for (const [address, owner] of kernel.leases) if (owner === id) release(kernel, address, nowMs());
    },
    () => kernel.results.delete(id),
    () => {
      if (kernel.kept.delete(id) && kernel.unsynced.forgetsUnsynced) kernel.unsynced.kept.set(id, nowMs());
    },
  ];
}

function release(kernel: Kernel, address: string, nowMs: number): void {
  kernel.unsynced.leases.set(address, { owner: kernel.leases.get(address) ?? '', atMs: nowMs });
  kernel.leases.delete(address);
}

/** What the driver does at its start: a lease in its own directory without an attachment belongs to nobody. */
export function dropStaleLeases(kernel: Kernel): void {
  for (const [address, owner] of kernel.leases) if (!kernel.kept.has(owner)) kernel.leases.delete(address);
}
