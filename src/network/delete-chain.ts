/** DEL of a chain of CNI plugins: what a failure of one of them means for the others and for the pod. */
import { FaultError, toFault } from '../base/fault.ts';
import type { Network, PluginConf } from './conflist.ts';

/** What a plugin says that opens the empty path of a namespace that is gone. Words before it name another file. */
const NO_NAMESPACE = /: error \d+: no such file or directory$/u;

/**
 * Throws the failure of a DEL without a namespace, except where the plugin needs one: sbr of Debian 12 (1.1.1) does,
 * against the spec, so that no pod could be removed after a reboot. What such a plugin made ended with the namespace.
 */
export function onlyNoNamespace(error: unknown): void {
  if (!NO_NAMESPACE.test(toFault(error).message)) throw error;
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
