/** The composition root: the assembled actors behind the CRI's socket. */
import type { Ports } from '../actors/ports/ports.ts';
import type { Troupe } from '../actors/troupe.ts';
import type { Log } from '../base/log.ts';
import { edgeMethods } from '../cri/edge.ts';
import { startCriServer } from '../cri/server.ts';
import type { CriServer } from '../cri/server.ts';
import { createServices } from '../cri/services.ts';
import { CAPABILITY_NAMES } from '../oci/runtime/spec/capabilities.ts';
import { DEFAULT_MASKED_PATHS, DEFAULT_READONLY_PATHS } from '../oci/runtime/spec/masked.ts';
import { assemble } from './assemble.ts';
import type { Config } from './config-schema.ts';
import { VERSION } from './version.ts';

export interface Daemon {
  readonly troupe: Troupe;
  /** New calls are refused, those at work are waited for; containers are left running. */
  stop(): Promise<void>;
}

/** Starts everything; the socket answers (with Unavailable) while the recovery is still at work. */
export async function startDaemon(config: Config, log: Log): Promise<Daemon> {
  const { ports, troupe, release } = await assemble(config, log);
  const server = await serve(config, ports, troupe);
  await troupe.start();
  return {
    troupe,
    stop: async () => {
      await Promise.all([server.drain(), troupe.drain()]);
      await server.close();
      await release();
    },
  };
}

function serve(config: Config, ports: Ports, troupe: Troupe): Promise<CriServer> {
  const { clock, random, log } = ports;
  const services = createServices({
    troupe,
    clock,
    version: VERSION,
    cgroupDriver: 'cgroupfs',
    // both come with the issue on nodes that have them; until then a profile or label that is asked for is refused
    selinuxEnabled: false,
    apparmorEnabled: false,
    capabilityNames: CAPABILITY_NAMES,
    defaultMaskedPaths: DEFAULT_MASKED_PATHS,
    defaultReadonlyPaths: DEFAULT_READONLY_PATHS,
    configView: () => config,
  });
  const methods = edgeMethods({ clock, random, log, notReadyReason: () => troupe.notReadyReason(), ...services });
  return startCriServer({ socketPath: config.socket, methods, clock, log });
}
