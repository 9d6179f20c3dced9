/** The end of a daemon: with its node, or while another one has it. */
import { rmdir } from 'node:fs/promises';
import { toFault } from '../../base/fault.ts';
import type { Log } from '../../base/log.ts';
import { cgroupDirectories } from '../../host/cgroups/cgroup-layout.ts';
import { isSlice } from '../../host/cgroups/slices.ts';
import { namesIfDirectory } from '../../host/files/names-of.ts';
import { stopKernelThread } from '../../host/kernel-thread/kernel-thread.ts';
import type { CgroupLayout } from '../../host/kernel-thread/thread-protocol.ts';
import { releasePinRoot } from '../../host/namespaces/namespaces.ts';
import type { Layout } from '../../host/sandbox/layout.ts';
import type { FlightWriter } from '../../introspection/flight/writer.ts';
import type { StreamsDriver } from '../../oci/runtime/stream-driver.ts';
import type { Config } from '../config/config-schema.ts';
import { forgetRelay, recordRelay } from '../takeover/relays.ts';
import type { Start } from './hold-node.ts';
import type { NodeFiles } from './node-files.ts';

export interface OpenParts {
  readonly config: Config;
  readonly layout: Layout;
  readonly log: Log;
  readonly start: Start;
  readonly drivers: Readonly<Record<'host' | 'live' | 'runtime' | 'stats' | 'store', { close(): void }>> & {
    readonly nri: { close(): Promise<void> } | undefined;
    readonly network: { stop(): Promise<void> };
    readonly store: { readonly driver: { readonly close?: () => Promise<void> } };
    readonly runtime: { rest(): void };
  };
  readonly streams: StreamsDriver;
  readonly nodeFiles: NodeFiles;
  readonly flight: FlightWriter;
}

export interface NodeEnds {
  /**
   * Ends all that only the holder of the root's lock may do, closes the journal and releases the lock: another daemon
   * takes over. Sessions of clients go on. Never rejects.
   */
  yieldNode(): Promise<void>;
  /** To be called after the actors were drained: ends watches and threads, closes the journal, releases the lock. */
  release(): Promise<void>;
}

export function endsOf(parts: OpenParts): NodeEnds {
  const { config, layout, log, start, drivers, streams, nodeFiles, flight } = parts;
  const { lock, observability, opened, cgroups, rechecked } = start;
  const { nri, store, runtime, network, live, host, stats } = drivers;
  let isYielded = false;
  return {
    yieldNode: async () => {
      isYielded = true;
      await recordRelay(layout.relaysDir, start.boot).catch(noted(log, 'record the hand-over'));
      runtime.rest();
      for (const one of [store, live, nodeFiles, host, rechecked]) one.close();
      const ends = [nri?.close(), store.driver.close?.(), network.stop(), opened.close(), flight.close()];
      for (const end of ends) await end?.catch(noted(log, 'close a part for the hand-over'));
      await lock.release().catch(noted(log, 'release the lock'));
    },
    release: async () => {
      await observability.close();
      for (const one of [streams, runtime, store, live, nodeFiles, stats, host, rechecked]) one.close();
      if (isYielded) {
        await forgetRelay(layout.relaysDir).catch(noted(log, 'forget the hand-over'));
        await stopKernelThread();
        return;
      }
      await Promise.all([store.driver.close?.(), network.stop(), opened.close(), stopKernelThread()]);
      await tidy(layout, cgroups, config.cgroup.parent);
      await flight.close();
      await lock.release();
    },
  };
}

function noted(log: Log, attempted: string): (thrown: unknown) => void {
  return (thrown) => log.error({ reason: toFault(thrown).message }, `${attempted}: failed`);
}

/** Removes directories that only pods need if no pod is left; with pods, both removals fail harmlessly. */
async function tidy(layout: Layout, cgroups: CgroupLayout, cgroupParent: string): Promise<void> {
  // a directory that could not be made or read must not keep the daemon from stopping
  const pins = await namesIfDirectory(layout.pinsDir).catch(() => ['unknown']);
  if (pins.length === 0) await releasePinRoot(layout.pinsDir).catch(() => undefined);
  // slices belong to systemd
  if (isSlice(cgroupParent)) return;
  for (const directory of cgroupDirectories(cgroups, cgroupParent))
    await rmdir(directory).catch(() => undefined);
}
