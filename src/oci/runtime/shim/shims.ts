/** The shims of this instance's pods: connected ones, and those found by their record after the daemon's restart. */
import type { SandboxId } from '../../../base/ids.ts';
import { KeyedMutex } from '../../../base/bounded.ts';
import { FaultError, fail, toFault } from '../../../base/fault.ts';
import { portLimits } from '../../../ports/bounds.ts';
import { join } from 'node:path';
import { codeOf } from '../../../host/ffi/errno.ts';
import { processExists } from '../../../host/process/process-identity.ts';
import { killTree } from '../../../host/process/process-kill.ts';
import type { DriverParts } from '../container/parts.ts';
import { shimNamespace } from './launch.ts';
import { readShimRecord } from './record.ts';
import type { ShimRecord } from './record.ts';
import { Shim } from './shim.ts';
import { followLog } from './shim-log.ts';

export class Shims {
  readonly #parts: DriverParts;
  readonly #connected = new Map<SandboxId, { readonly shim: Shim; readonly endLog: () => void }>();
  readonly #connecting = new KeyedMutex('connections to the shim of sandbox', portLimits.actorsMax);

  constructor(parts: DriverParts) {
    this.#parts = parts;
  }

  /**
   * The pod's shim; undefined if it does not exist or has exited. Rejects when it is alive and does not accept the
   * connection.
   */
  find(id: SandboxId): Promise<Shim | undefined> {
    const known = this.#connected.get(id)?.shim;
    if (known !== undefined && !known.isClosed) return Promise.resolve(known);
    return this.#connecting.with(id, async () => {
      const other = this.#connected.get(id)?.shim;
      if (other !== undefined && !other.isClosed) return other;
      const record = await readShimRecord(this.#parts.layout, id);
      if (record === undefined || !processExists(record.shim)) return undefined;
      return this.#connect(id, record);
    });
  }

  /** Like `find`; throws `wrongState` when the shim has exited. */
  async need(id: SandboxId, attempted: string): Promise<Shim> {
    return (
      (await this.find(id)) ??
      fail('wrongState', `${attempted}: the shim of sandbox ${id} has exited`, { subject: id })
    );
  }

  /**
   * Runs `work` with the pod's shim; undefined without a shim. A shim that does not accept the connection or does not
   * answer is killed, and the result is undefined, too. For work that must succeed whatever the shim does.
   */
  async orKill<T>(id: SandboxId, work: (shim: Shim) => Promise<T>): Promise<T | undefined> {
    try {
      const shim = await this.find(id);
      return shim === undefined ? undefined : await work(shim);
    } catch (thrown) {
      const { kind, message } = toFault(thrown);
      if (kind !== 'timedOut' && kind !== 'notReady') throw thrown;
      const record = await readShimRecord(this.#parts.layout, id);
      this.#parts.log.warn(
        { sandbox: id, reason: message },
        'shim does not answer; it is killed with its pod',
      );
      if (record !== undefined) await killTree(record.shim, this.#parts.clock);
      this.#forget(id);
      return undefined;
    }
  }

  /** Connects anew and replaces an existing connection. Rejects as `find` does. */
  connect(id: SandboxId, address: Pick<ShimRecord, 'path' | 'api'>): Promise<Shim> {
    return this.#connecting.with(id, () => this.#connect(id, address));
  }

  async #connect(id: SandboxId, { path, api }: Pick<ShimRecord, 'path' | 'api'>): Promise<Shim> {
    const { clock, layout, log } = this.#parts;
    try {
      const onClose = (): void => {
        if (this.#connected.get(id)?.shim.isClosed === true) this.#forget(id);
      };
      const shim = await Shim.connect(
        id,
        { path, api },
        { clock, namespace: shimNamespace(layout), onClose },
      );
      this.#forget(id);
      this.#connected.set(id, {
        shim,
        endLog: followLog(join(layout.pauseBundleDir(id), 'log'), id, { log, clock }),
      });
      return shim;
    } catch (thrown) {
      const kind = codeOf(thrown) === undefined ? toFault(thrown).kind : 'notReady';
      throw new FaultError({
        ...toFault(thrown, `connect to the shim of sandbox ${id}`),
        kind,
        retryable: true,
      });
    }
  }

  #forget(id: SandboxId): void {
    const known = this.#connected.get(id);
    if (known === undefined) return;
    this.#connected.delete(id);
    known.endLog();
    known.shim.close();
  }

  /** Closes the connections; shims go on. */
  close(): void {
    for (const id of [...this.#connected.keys()]) this.#forget(id);
  }
}
