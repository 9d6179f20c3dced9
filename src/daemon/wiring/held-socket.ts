/** A socket that may begin to accept later than its server starts, and that another daemon may get. */
import type { Socket } from 'node:net';
import type { PrivateSocket } from '../../host/io/private-socket.ts';

type OnConnection = (socket: Socket) => void;

export class HeldSocket {
  readonly #listen: (onConnection: OnConnection) => Promise<PrivateSocket>;
  readonly #isLater: boolean;
  #onConnection: OnConnection | undefined;
  #socket: PrivateSocket | undefined;

  /** @param isLater whether `begin` listens in place of `listen` */
  constructor(listen: (onConnection: OnConnection) => Promise<PrivateSocket>, isLater = false) {
    this.#listen = listen;
    this.#isLater = isLater;
  }

  /** The `listen` option of a server. */
  listen = async (onConnection: OnConnection): Promise<{ close(): Promise<void> }> => {
    this.#onConnection = onConnection;
    if (!this.#isLater) await this.begin();
    return { close: async () => this.#socket?.close() };
  };

  /** Begins to accept. */
  async begin(): Promise<void> {
    if (this.#socket === undefined && this.#onConnection !== undefined)
      this.#socket = await this.#listen(this.#onConnection);
  }

  /** Accepts no more; another holder of the descriptor does. */
  async release(): Promise<void> {
    await this.#socket?.release();
  }
}
