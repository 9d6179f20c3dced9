// One `crictl port-forward` whose connection lives over all take-overs: a program on the node sends back what it gets.
import { createHash } from 'node:crypto';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { until } from '../../support/eventually.ts';
import { crictlStarted } from '../streaming/support.ts';
import type { World } from '../support/world.ts';
import { hasExited, type Daemons, type SessionTally } from './sessions.ts';

const BLOCK_BYTES = 1024 * 1024;
const PAUSE_MS = 20;

export interface ForwardOptions {
  /** A pod on the node's network. */
  readonly podId: string;
  readonly bytes: number;
  /** Take-overs over which the bytes are spread. */
  readonly takeOvers: number;
  readonly daemons: Daemons;
}

/** Begins; the returned function waits until all bytes have come back, and notes how it went. */
export async function startForward(
  world: World,
  tally: SessionTally,
  { podId, bytes, takeOvers, daemons }: ForwardOptions,
): Promise<() => Promise<void>> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => socket.destroy());
    socket.pipe(socket);
  });
  await listens(server);
  const { port } = server.address() as AddressInfo;
  const holder = daemons.serving();
  const crictl = await crictlStarted(world, ['port-forward', podId, `:${port}`]);
  const local = await until(() => {
    if (hasExited(crictl.child)) throw new Error(`crictl port-forward ended: ${crictl.text()}`);
    return Number(/127\.0\.0\.1:(\d+) ->/u.exec(crictl.text())?.[1] ?? 0) || undefined;
  });
  let isAll = false;
  // each take-over has its part of the bytes on the way
  const allowed = (): number => (isAll ? bytes : (bytes * (daemons.turn() + 1)) / (takeOvers + 1));
  const outcome = forwardedThrough(local, bytes, allowed, () => hasExited(crictl.child)).catch(String);
  return async () => {
    isAll = true;
    const reason = await outcome;
    crictl.child.kill('SIGKILL');
    await crictl.ended;
    server.close();
    tally.bytes += 2 * bytes;
    if (reason === undefined) tally.ended += 1;
    else if (holder !== undefined && daemons.wasKilled(holder)) tally.killed += 1;
    else tally.broken.push(`crictl port-forward: ${reason}: ${crictl.text().slice(-500)}`);
  };
}

const listens = (server: Server): Promise<void> =>
  new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });

/** Why what came back is not what was sent; undefined when it is. */
async function forwardedThrough(
  port: number,
  bytes: number,
  allowed: () => number,
  hasGone: () => boolean,
): Promise<string | undefined> {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  const [sent, back] = [createHash('sha256'), createHash('sha256')];
  let [at, returned, isClosed] = [0, 0, false];
  socket.on('data', (chunk: Buffer) => {
    returned += chunk.length;
    back.update(chunk);
  });
  socket.once('close', () => (isClosed = true)).on('error', () => socket.destroy());
  const done = new Promise<void>((resolve) => void socket.once('end', resolve).once('close', resolve));
  while (at < bytes && !isClosed && !hasGone()) {
    if (at >= allowed()) {
      await delay(PAUSE_MS);
      continue;
    }
    const block = numbered(at, Math.min(BLOCK_BYTES, bytes - at));
    sent.update(block);
    at += block.length;
    await written(socket, block);
  }
  if (hasGone()) return `crictl has ended after ${returned} of ${bytes} bytes`;
  socket.end();
  await done;
  const isSame = back.digest('hex') === sent.digest('hex');
  return isSame && returned === bytes ? undefined : `${returned} of ${bytes} bytes came back`;
}

/** A block that no other place has. */
function numbered(place: number, length: number): Buffer {
  const block = Buffer.alloc(length, 0x5a);
  for (let at = 0; at + 8 <= length; at += 512) block.writeDoubleLE(place + at, at);
  return block;
}

const written = (socket: Socket, block: Buffer): Promise<void> =>
  new Promise((resolve) => {
    const settle = (): void => {
      socket.off('close', settle);
      resolve();
    };
    socket.once('close', settle);
    socket.write(block, settle);
  });
