/** The connection to one running shim, and its calls. */
import type { ClockPort } from '../../../ports/clock.ts';
import { fail } from '../../../base/fault.ts';
import type { SandboxId } from '../../../base/ids.ts';
import { shimLimits } from '../bounds.ts';
import { TtrpcClient, TtrpcRefusal, connectUnix } from '../../../ttrpc/client.ts';
import type { ShimAddress } from './bootstrap.ts';

/** Version 3 of the Task service has the methods and messages of version 2. */
const TASK_V3 = 'containerd.task.v3.Task';
/** Header with the namespace of a ttrpc call (containerd, package namespaces). */
const NAMESPACE_HEADER = 'containerd-namespace-ttrpc';

export interface ShimOptions {
  readonly clock: ClockPort;
  readonly namespace: string;
  readonly onClose: () => void;
}

export class Shim {
  readonly id: SandboxId;
  readonly #client: TtrpcClient;
  readonly #service: { readonly service?: string };

  private constructor(id: SandboxId, client: TtrpcClient, api: 2 | 3) {
    this.id = id;
    this.#client = client;
    this.#service = api === 3 ? { service: TASK_V3 } : {};
  }

  /** Rejects with the system's error when nobody listens at the address. */
  static async connect(
    id: SandboxId,
    { path, api }: ShimAddress,
    { clock, namespace, onClose }: ShimOptions,
  ): Promise<Shim> {
    const socket = await connectUnix(path, { clock, timeoutMs: shimLimits.connectMs });
    const metadata = { [NAMESPACE_HEADER]: namespace };
    return new Shim(
      id,
      new TtrpcClient(socket, { clock, peer: `shim of sandbox ${id}`, metadata, onClose }),
      api,
    );
  }

  get isClosed(): boolean {
    return this.#client.isClosed;
  }

  /** See `TtrpcClient.call`. An error answer of the shim becomes `outside` or `timedOut`. */
  readonly call: TtrpcClient['call'] = (method, message, call) =>
    this.#client
      .call(method, message, { ...call, ...this.#service })
      .catch((thrown: unknown) => this.#refused(message, thrown));

  /** Like `call`; undefined when the shim does not know the container or exec, or reports that it has exited. */
  readonly callUnlessGone: TtrpcClient['callUnlessGone'] = (method, message, call) =>
    this.#client.callUnlessGone(method, message, { ...call, ...this.#service }).catch((thrown: unknown) => {
      // `Shims.orKill` kills a shim that answers so, as one that does not answer
      if (thrown instanceof TtrpcRefusal && thrown.fault.kind === 'notReady') throw thrown;
      return this.#refused(message, thrown);
    });

  /**
   * Converts an error answer. The shim's codes refer to its own objects, such as `not found` for a program missing in
   * the image or `already exists` for a task; the caller would take them for pods and containers. Only a deadline
   * means the same.
   */
  #refused(message: object, thrown: unknown): never {
    if (!(thrown instanceof TtrpcRefusal) || thrown.fault.kind === 'timedOut') throw thrown;
    const about = 'id' in message && typeof message.id === 'string' ? message.id : this.id;
    return fail('outside', `call a shim for ${about}: ${thrown.fault.message}`, {
      subject: about,
      quotesOutput: true,
    });
  }

  close(): void {
    this.#client.close();
  }
}
