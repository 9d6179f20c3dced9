/** The host and network ports over the simulated kernel. */
import type { HostPort, HostSandbox } from '../../src/ports/host.ts';
import type { NetworkPort } from '../../src/ports/network.ts';
import { fail } from '../../src/base/fault.ts';
import type { SandboxId } from '../../src/base/ids.ts';
import type { Kernel } from './kernel.ts';
import type { Outside } from './outside.ts';

const NAMESPACES = ['net', 'ipc', 'uts'] as const;
/** Small, so that leaked leases show soon. */
const ADDRESSES = 24;

/** Files, cgroup, pins. */
export function hostTwin(kernel: Kernel, outside: Outside, epoch: number): HostPort {
  const call = outside.life(epoch);
  const done = (): void => undefined;
  return {
    makeSandboxFiles: ({ id }, fx) => call('host.makeSandboxFiles', fx, [() => kernel.files.add(id)], done),
    removeSandboxFiles: ({ id }, fx) =>
      call('host.removeSandboxFiles', fx, [() => kernel.files.delete(id)], done),
    makeSandboxCgroup: ({ id }, fx) =>
      call('host.makeSandboxCgroup', fx, [() => kernel.cgroups.add(id)], done),
    removeSandboxCgroup: ({ id }, fx) =>
      call('host.removeSandboxCgroup', fx, [() => kernel.cgroups.delete(id)], done),
    pinNamespaces: ({ id }, fx) =>
      call(
        'host.pinNamespaces',
        fx,
        NAMESPACES.map((name) => () => pinsOf(kernel, id).add(name)),
        done,
      ),
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
    pins: NAMESPACES.filter((name) => kernel.pins.get(id)?.has(name)),
    files: kernel.files.has(id),
  }));
}

/** An address pool that forgets nothing by itself. With `collects`, GC releases the leases that belong to nobody. */
export function networkTwin(kernel: Kernel, outside: Outside, epoch: number, collects: boolean): NetworkPort {
  const call = outside.life(epoch);
  return {
    status: () => ({ ready: true, reason: '', message: '' }),
    add: ({ id }, fx) => {
      let address = '';
      const keep = (): void => {
        if (kernel.kept.has(id)) kernel.wrongs.push(`ADD of ${id} without a DEL of what was begun before`);
        if (!kernel.pins.get(id)?.has('net') && !kernel.broken.has(id))
          kernel.wrongs.push(`ADD of ${id} without a network namespace`);
        kernel.kept.add(id);
      };
      const lease = (): void => {
        const free = Array.from({ length: ADDRESSES }, (_none, n) => `10.1.0.${n + 2}`).find(
          (one) => !kernel.leases.has(one),
        );
        if (free === undefined) return fail('outside', `CNI ADD ${id}: no address is free`);
        address = free;
        kernel.leases.set(address, id);
      };
      return call('network.add', fx, [keep, lease], () => ({ ips: [address] }));
    },
    del: ({ id }, fx) => {
      const release = (): void => {
        for (const [address, owner] of kernel.leases) if (owner === id) kernel.leases.delete(address);
      };
      return call('network.del', fx, [release, () => kernel.kept.delete(id)], () => undefined);
    },
    // the plugins of many networks know no GC
    collectable: () => (collects ? 'twin' : undefined),
    collect: (sandboxes, fx) => {
      const valid: ReadonlySet<string> = new Set(sandboxes);
      const release = (): void => {
        for (const [address, owner] of kernel.leases)
          if (!valid.has(owner) && !kernel.kept.has(owner)) kernel.leases.delete(address);
      };
      return call('network.collect', fx, [release], () => undefined);
    },
    observe: (fx) => call('network.observe', fx, [], () => [...kernel.kept] as SandboxId[]),
  };
}
