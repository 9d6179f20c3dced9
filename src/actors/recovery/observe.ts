import { toFault } from '../../base/fault.ts';
import type { ContainerId, SandboxId } from '../../base/ids.ts';
import type { EffectContext } from '../../ports/effect.ts';
import type { Ports } from '../../ports/ports.ts';
import type { PauseFacts } from '../../ports/runtime.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { World } from './plan.ts';

/** Observes the node through every port: what exists, whether or not the journal records it. Starts no process. */
export async function observeWorld(ports: Ports, ledger: Ledger, fx: EffectContext): Promise<World> {
  const [host, runtime, storage, networks] = await Promise.all([
    ports.host.observe(fx),
    ports.runtime.observe(fx),
    ports.storage.observe(fx),
    ports.network.observe(fx).catch((thrown: unknown) => unknownNetworks(ports, ledger, thrown)),
  ]);
  const containers = new Map(runtime.containers.map((facts) => [facts.id, facts]));
  return {
    nowNs: ports.clock.nowNs(),
    nowMonoMs: ports.clock.monoMs(),
    host,
    containers,
    alive: aliveOf(ports, ledger, containers),
    pauses: new Map(runtime.pauses.map((facts) => [facts.id, pauseByKernel(ports, ledger, facts)])),
    storage,
    networks: new Set(networks),
  };
}

/**
 * Used when the network attachments can't be read: every pod recorded as ready counts as attached, and continues (F89).
 */
function unknownNetworks({ log }: Ports, { sandboxes }: Ledger, thrown: unknown): readonly SandboxId[] {
  log.error(
    { fault: toFault(thrown) },
    'list network attachments: failed, the recorded network of each pod is assumed',
  );
  return [...sandboxes.values()].filter(({ ready }) => ready !== undefined).map(({ intent }) => intent.id);
}

/**
 * If the files of a pause process can't be read, asks the kernel about the recorded process: an unreadable file must
 * not end a pod (F89).
 */
function pauseByKernel({ runtime }: Ports, ledger: Ledger, facts: PauseFacts): PauseFacts {
  const pause =
    facts.isUnreadable === true && facts.process === undefined
      ? ledger.sandboxes.get(facts.id)?.ready?.pause
      : undefined;
  return pause !== undefined && runtime.isAlive(pause) ? { ...facts, process: pause } : facts;
}

/**
 * Containers whose process runs although all files of runtime and monitor are gone: only the kernel still knows them
 * (F29).
 */
function aliveOf({ runtime }: Ports, ledger: Ledger, seen: World['containers']): ReadonlySet<ContainerId> {
  const alive = new Set<ContainerId>();
  for (const [id, { created, exited }] of ledger.containers) {
    const isKnown = exited !== undefined || (seen.get(id)?.process ?? 'gone') !== 'gone';
    if (!isKnown && created?.init !== undefined && runtime.isAlive(created.init)) alive.add(id);
  }
  return alive;
}
