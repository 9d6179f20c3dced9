/** DEL of a chain of CNI plugins: what a failure of one of them means for the others and for the pod. */
import { FaultError, toFault } from '../base/fault.ts';
import type { Network, PluginConf } from './conflist.ts';

/**
 * Throws the failure of a DEL without a namespace, except that of a plugin that opens the empty path: sbr of Debian 12
 * (1.1.1) does, against the spec, so that no pod could be removed after a reboot. What it made ended with the
 * namespace. One with `ipam` still has an address to free, and words before the reason name another file.
 */
export function onlyNoNamespace(error: unknown, { type, raw }: PluginConf): void {
  const needsOne = toFault(error).message.endsWith(`: plugin ${type}: error 999: no such file or directory`);
  if (!needsOne || raw['ipam'] !== undefined) throw error;
}

/**
 * Runs DEL of every plugin, then throws the first failure. If the chain ended at a failure, a plugin that
 * fails both ADD and DEL (its agent or its executable is absent) would make every new try of a pod allocate
 * an address that nobody frees (containerd/containerd#12130). DEL of a resource that is gone must succeed
 * (spec, "DEL"), so the whole chain can be repeated.
 */
export async function deleteAll(
  network: Network,
  del: (plugin: PluginConf, pluginsLeft: number) => Promise<unknown>,
  attempted: string,
): Promise<void> {
  const failures: FaultError[] = [];
  for (const [at, plugin] of network.plugins.toReversed().entries()) {
    try {
      await del(plugin, network.plugins.length - at);
    } catch (error) {
      const failure = new FaultError(toFault(error));
      // the caller no longer waits
      if (failure.fault.kind === 'cancelled') throw failure;
      failures.push(failure);
    }
  }
  const [first, ...others] = failures;
  if (first === undefined) return;
  if (others.length === 0) throw first;
  const more = others.map(({ fault }) => fault.message.slice(attempted.length + 2)).join('; ');
  throw new FaultError({ ...first.fault, message: `${first.fault.message}; ${more}` });
}
