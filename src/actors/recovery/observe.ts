import { toFault } from '../../base/fault.ts';
import type { ContainerId, SandboxId } from '../../base/ids.ts';
import type { EffectContext } from '../../ports/effect.ts';
import type { Ports } from '../../ports/ports.ts';
import type { PauseFacts } from '../../ports/runtime.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { World } from './plan.ts';

/** Asks every port what is there, also of what is on record. No process is started for it (house rule 3.3). */
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
    pauses: new Map(runtime.pauses.map((facts) => [facts.id, askedOfKernel(ports, ledger, facts)])),
    storage,
    networks: new Set(networks),
  };
}

/** What keeps the attachments can't be read: pods go on with the network that they were recorded with (F89). */
function unknownNetworks({ log }: Ports, { sandboxes }: Ledger, thrown: unknown): readonly SandboxId[] {
  log.error(
    { fault: toFault(thrown) },
    'list network attachments: failed; pods are taken to have the network that is on record',
  );
  return [...sandboxes.values()].filter(({ ready }) => ready !== undefined).map(({ intent }) => intent.id);
}

/** A pause process whose files can't be read is asked of the kernel by its record: its pod must not end for a file (F89). */
function askedOfKernel({ runtime }: Ports, ledger: Ledger, facts: PauseFacts): PauseFacts {
  const pause =
    facts.isUnreadable === true && facts.process === undefined
      ? ledger.sandboxes.get(facts.id)?.ready?.pause
      : undefined;
  return pause !== undefined && runtime.isAlive(pause) ? { ...facts, process: pause } : facts;
}

/** Somebody may have deleted all that the runtime and its monitor keep of a container; then only the kernel knows that it lives. */
function aliveOf({ runtime }: Ports, ledger: Ledger, seen: World['containers']): ReadonlySet<ContainerId> {
  const alive = new Set<ContainerId>();
  for (const [id, { created, exited }] of ledger.containers) {
    const isTold = exited !== undefined || (seen.get(id)?.process ?? 'gone') !== 'gone';
    if (!isTold && created?.init !== undefined && runtime.isAlive(created.init)) alive.add(id);
  }
  return alive;
}
