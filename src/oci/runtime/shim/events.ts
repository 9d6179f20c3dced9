/**
 * The socket for shims' events. Shims connect to it at their start and forward their events to it. Only OOM kills are
 * taken from them; everything else is queried, since an event is lost if the daemon is not running.
 */
import { chmod, mkdir, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { Server, Socket } from 'node:net';
import { parseContainerId } from '../../../base/ids.ts';
import type { ContainerId } from '../../../base/ids.ts';
import { toFault } from '../../../base/fault.ts';
import { shimLimits } from '../bounds.ts';
import { Pace } from '../../../base/pace.ts';
import { Events, TaskOOMSchema } from '../../../gen/shim/events_pb.ts';
import type { Envelope } from '../../../gen/shim/events_pb.ts';
import { processExists } from '../../../host/process/process-identity.ts';
import { peerOf } from '../../../host/io/socket-peer.ts';
import { decodeMessage } from '../../../ttrpc/protocol.ts';
import { TtrpcServer, ttrpcRoute } from '../../../ttrpc/server.ts';
import { oomMarker } from '../container/cgroup.ts';
import type { DriverParts } from '../container/parts.ts';
import { readNote } from '../container/record.ts';
import { exists } from '../container/state.ts';
import { eventsSocket } from './launch.ts';
import { readShimRecord } from './record.ts';

export class ShimEvents {
  readonly #parts: Pick<DriverParts, 'layout' | 'clock' | 'log'>;
  readonly #sockets = new Set<Socket>();
  /** Containers whose OOM kill was recorded. */
  readonly #known = new Set<ContainerId>();
  #server: Server | undefined;
  #opening: Promise<void> | undefined;

  constructor(parts: Pick<DriverParts, 'layout' | 'clock' | 'log'>) {
    this.#parts = parts;
  }

  /** Listens; concurrent calls share one attempt. The directory's mode excludes everybody but root. */
  async open(): Promise<void> {
    this.#opening ??= this.#listen();
    try {
      await this.#opening;
    } catch (error) {
      this.#opening = undefined;
      throw error;
    }
  }

  async #listen(): Promise<void> {
    const { layout } = this.#parts;
    await mkdir(layout.shimsDir, { recursive: true, mode: 0o700 });
    await chmod(layout.shimsDir, 0o700);
    const path = eventsSocket(layout);
    await rm(path, { force: true });
    const server = createServer((socket) => this.#serve(socket));
    server.maxConnections = shimLimits.eventConnections;
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen({ path }, resolve);
    });
    server.on('error', (error) =>
      this.#parts.log.warn({ fault: toFault(error) }, 'events socket of shims failed'),
    );
    this.#server = server;
  }

  close(): void {
    this.#server?.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket);
    const { clock } = this.#parts;
    const pace = new Pace(shimLimits.events);
    const shim = peerOf(socket);
    const forward = ttrpcRoute(Events.method.forward, async ({ envelope }) => {
      const waitMs = pace.take(clock.monoMs());
      if (waitMs > 0 && !socket.isPaused()) {
        socket.pause();
        clock.setTimeout(() => socket.resume(), waitMs);
      }
      if (envelope !== undefined) await this.#note(envelope, shim?.pid);
      return {};
    });
    new TtrpcServer(socket, { clock, routes: [forward], onClose: () => this.#sockets.delete(socket) });
  }

  /**
   * Records an OOM kill in a file, since the container's exit may be reported much later and by another daemon. Only
   * of a container in the pod whose shim is connected: every shim knows this socket, and must not report on another's
   * pod.
   */
  async #note({ event }: Envelope, shim: number | undefined): Promise<void> {
    const { layout, log } = this.#parts;
    if (event === undefined || !event.typeUrl.endsWith('TaskOOM')) return;
    const id = parseContainerId(decodeMessage(TaskOOMSchema, event.value).containerId);
    if (id === undefined || this.#known.has(id)) return;
    if (!(await this.#isOf(shim, id))) {
      log.debug({ id, pid: shim }, 'ignore oom kill: reported by a process that is not the shim of its pod');
      return;
    }
    // another report was recorded meanwhile
    if (this.#known.has(id)) return;
    if (this.#known.size >= shimLimits.oomsKnown) this.#known.clear();
    this.#known.add(id);
    try {
      if (!(await exists(layout.containerDir(id)))) return;
      await writeFile(oomMarker(layout, id), '', { mode: 0o600 });
      log.info({ id }, 'oom kill reported by a shim');
    } catch (thrown) {
      // the next report may succeed
      this.#known.delete(id);
      throw thrown;
    }
  }

  async #isOf(shim: number | undefined, id: ContainerId): Promise<boolean> {
    const { layout } = this.#parts;
    const note = await readNote(layout, id);
    const record = note === undefined ? undefined : await readShimRecord(layout, note.sandboxId);
    return record !== undefined && record.shim.pid === shim && processExists(record.shim);
  }
}
