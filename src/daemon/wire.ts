/** The composition root: the assembled actors behind the CRI's socket. */
import { readFile } from 'node:fs/promises';
import type { Ports } from '../actors/ports/ports.ts';
import type { Troupe } from '../actors/troupe.ts';
import type { Log } from '../base/log.ts';
import { edgeMethods, edgeStreams } from '../cri/edge.ts';
import { listenPrivately, startCriServer } from '../cri/server.ts';
import type { CriServer } from '../cri/server.ts';
import { createServices } from '../cri/services.ts';
import { CAPABILITY_NAMES } from '../oci/runtime/spec/capabilities.ts';
import { DEFAULT_MASKED_PATHS, DEFAULT_READONLY_PATHS } from '../oci/runtime/spec/masked.ts';
import { startIntrospection } from '../introspection/server.ts';
import type { IntrospectionServer } from '../introspection/server.ts';
import { assemble } from './assemble.ts';
import type { AroundPorts, Assembly } from './assemble.ts';
import { introspectionSocket } from './config.ts';
import type { Config } from './config-schema.ts';
import { VERSION } from './version.ts';

export interface Daemon {
  readonly troupe: Troupe;
  /** New calls are refused, those at work are waited for; containers are left running. */
  stop(): Promise<void>;
}

/** Starts everything; the socket answers (with Unavailable) while the recovery is still at work. */
export async function startDaemon(config: Config, log: Log, around?: AroundPorts): Promise<Daemon> {
  const assembly = await assemble(config, log, around);
  const { ports, troupe, release } = assembly;
  const [server, introspection] = await Promise.all([serve(config, ports, troupe), introspect(config, assembly)]).catch(
    async (thrown: unknown) => {
      // a start that fails leaves no mount and no lock; the pods of an earlier run keep theirs
      await release();
      throw thrown;
    },
  );
  await troupe.start();
  return {
    troupe,
    stop: async () => {
      await Promise.all([server.drain(), troupe.drain()]);
      await Promise.all([server.close(), introspection.close()]);
      await release();
    },
  };
}

async function serve(config: Config, ports: Ports, troupe: Troupe): Promise<CriServer> {
  const { clock, random, log } = ports;
  const services = createServices({
    troupe,
    clock,
    version: VERSION,
    cgroupDriver: 'cgroupfs',
    ...(await securityModules()),
    capabilityNames: CAPABILITY_NAMES,
    defaultMaskedPaths: DEFAULT_MASKED_PATHS,
    defaultReadonlyPaths: DEFAULT_READONLY_PATHS,
    configView: () => config,
  });
  const edge = { clock, random, log, notReadyReason: () => troupe.notReadyReason(), ...services };
  return startCriServer({ socketPath: config.socket, methods: edgeMethods(edge), streams: edgeStreams(edge), clock, log });
}

/** What the kernel enforces; a profile or label that we cannot honour yet is refused only where it would matter. */
async function securityModules(): Promise<{ readonly selinuxEnabled: boolean; readonly apparmorEnabled: boolean }> {
  const [selinux, apparmor] = await Promise.all([
    readFile('/sys/fs/selinux/enforce', 'utf8').catch(() => ''),
    readFile('/sys/module/apparmor/parameters/enabled', 'utf8').catch(() => ''),
  ]);
  return { selinuxEnabled: selinux !== '', apparmorEnabled: apparmor.startsWith('Y') };
}

function introspect(config: Config, { ports, troupe, recorder, charts }: Assembly): Promise<IntrospectionServer> {
  const { clock } = ports;
  return startIntrospection({
    troupe,
    recorder,
    clock,
    charts,
    activity: troupe.activity,
    version: VERSION,
    process: { pid: process.pid, startedNs: clock.nowNs(), rssBytes: () => process.memoryUsage.rss() },
    socket: config.socket,
    configView: () => config,
    listen: (server) => listenPrivately(server, introspectionSocket(config)),
  });
}
