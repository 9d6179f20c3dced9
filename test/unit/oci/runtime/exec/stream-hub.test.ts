// The connection to a container's attach socket: whose output may come before a client listens.
import { expect, test } from 'vitest';
import type { ContainerId } from '../../../../../src/base/ids.ts';
import { Hub } from '../../../../../src/oci/runtime/exec/stream-hub.ts';
import type { MonitorConnection } from '../../../../../src/oci/runtime/exec/stream-hub.ts';
import { AttachBudget } from '../../../../../src/oci/runtime/exec/stream-listeners.ts';
import { HandClock } from '../../../../support/hand-clock.ts';
import { loopTurn } from '../../../../support/turns.ts';

const STDOUT = 2;

/** A monitor's connection with these packets at once; what comes later never does. */
class Connection implements MonitorConnection {
  isClosed = false;
  readonly #left: Uint8Array[];

  constructor(...packets: Uint8Array[]) {
    this.#left = packets;
  }

  read = (): Promise<Uint8Array | undefined> => {
    const packet = this.#left.shift();
    return packet === undefined ? new Promise(() => undefined) : Promise.resolve(packet);
  };

  write = (): Promise<void> => Promise.resolve();
  end = (): void => undefined;
  close = (): void => void (this.isClosed = true);
}

const hubOf = (socket: MonitorConnection): Hub =>
  new Hub(
    { id: 'c1' as ContainerId, spec: { stdinOnce: false } } as never,
    socket,
    new HandClock(),
    new AttachBudget(),
  );

test('F75 a connection that has ended for want of a listener takes none: the client would wait for ever', async () => {
  const socket = new Connection(Uint8Array.of(STDOUT, 1));
  const hub = hubOf(socket);
  // as a container that talks at once, before the client that has opened the connection comes to its turn
  await loopTurn();
  expect([hub.hasEnded, socket.isClosed]).toEqual([true, true]);
  expect(hub.listen()).toBeUndefined();
});

test('a client that listens before the first output gets it', async () => {
  const hub = hubOf(new Connection(Uint8Array.of(STDOUT, 65, 66)));
  const listener = hub.listen();
  await loopTurn();
  expect(hub.hasEnded).toBe(false);
  expect(await listener?.stdout.read()).toEqual(Uint8Array.of(65, 66));
});
