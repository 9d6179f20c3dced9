import type { EffectContext } from '../ports/effect.ts';
import type { Ports } from '../ports/ports.ts';
import type { World } from './plan.ts';

/** Asks every port what is there. No process is started for it (house rule 3.3). */
export async function observeWorld(ports: Ports, fx: EffectContext): Promise<World> {
  const [host, runtime, storage, networks] = await Promise.all([
    ports.host.observe(fx),
    ports.runtime.observe(fx),
    ports.storage.observe(fx),
    ports.network.observe(fx),
  ]);
  return {
    nowNs: ports.clock.nowNs(),
    nowMonoMs: ports.clock.monoMs(),
    host,
    containers: new Map(runtime.containers.map((facts) => [facts.id, facts])),
    pauses: new Map(runtime.pauses.map((facts) => [facts.id, facts])),
    storage,
    networks: new Set(networks),
  };
}
