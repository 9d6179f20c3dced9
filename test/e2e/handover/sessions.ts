// `crictl exec` sessions that live over several take-overs, with checksums of both directions.
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash, type Hash } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { type Random, randomStream } from '../../sim/random.ts';
import { until } from '../../support/eventually.ts';
import { crictlArgv } from '../streaming/support.ts';
import type { World } from '../support/world.ts';

/** Bytes that a session writes at once, and ms between two of them. */
const PIECE_BYTES = 16 * 1024;
const EVERY_MS = 50;
/** Characters of what a program said that are kept. */
const SAID_CHARS = 300;

/** Sessions that have ended, and what broke. */
export interface SessionTally {
  ended: number;
  bytes: number;
  /** Broken with the daemon that held them, which was killed: that is what a kill may do. */
  killed: number;
  readonly broken: string[];
}

export const newSessions = (): SessionTally => ({ ended: 0, bytes: 0, killed: 0, broken: [] });

/** The daemons of a run, as far as sessions have to know them. */
export interface Daemons {
  /** Take-overs so far. */
  readonly turn: () => number;
  /** The process that serves now. */
  readonly serving: () => number | undefined;
  readonly wasKilled: (pid: number) => boolean;
  /** Daemons that were killed so far. */
  readonly kills: () => number;
  /** One was killed, and none has answered since. */
  readonly isDown: () => boolean;
}

export interface SessionOptions {
  readonly containerId: string;
  readonly sessions: number;
  /** Take-overs that each session lives through. */
  readonly takeOvers: number;
  readonly seed: number;
  readonly daemons: Daemons;
}

/** Begins so many sessions, each of which is followed by another one; the returned function ends them. */
export function startSessions(
  world: World,
  tally: SessionTally,
  { sessions, takeOvers, seed, containerId, daemons }: SessionOptions,
): () => Promise<void> {
  const over = new AbortController();
  const workers = Array.from({ length: sessions }, async (_none, at) => {
    const random = randomStream(seed, `session ${at}`);
    // the first ones end early, so that they do not all end at once
    for (let span = 1 + (at % takeOvers); !over.signal.aborted; span = takeOvers) {
      const endTurn = daemons.turn() + span;
      const isOver = (): boolean => over.signal.aborted || daemons.turn() >= endTurn;
      await oneExec(world, tally, { containerId, daemons, isOver, random });
    }
  });
  return async () => {
    over.abort();
    await Promise.all(workers);
  };
}

interface ExecSession {
  readonly containerId: string;
  readonly daemons: Daemons;
  readonly random: Random;
  readonly isOver: () => boolean;
}

/** `cat` in the container sends back what it gets. */
async function oneExec(
  world: World,
  tally: SessionTally,
  { containerId, daemons, random, isOver }: ExecSession,
): Promise<void> {
  const [program, ...args] = await crictlArgv(world, ['exec', '-i', containerId, 'cat']);
  // one of these holds it: a take-over may be under way when it begins
  const holders = new Set([daemons.serving()]);
  const kills = daemons.kills();
  let isUnserved = daemons.isDown();
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'] });
  const [sent, back] = [createHash('sha256'), createHash('sha256')];
  let [bytes, returned, said] = [0, 0, ''];
  child.stdin.on('error', () => undefined);
  child.stdout.on('data', (chunk: Buffer) => {
    if (returned === 0) holders.add(daemons.serving());
    returned += chunk.length;
    back.update(chunk);
  });
  child.stderr.on('data', (chunk: Buffer) => (said = (said + chunk.toString()).slice(-SAID_CHARS)));
  const ended = new Promise<number>((resolve) => void child.once('close', (code) => resolve(code ?? -1)));
  do {
    bytes += await writePiece(child, sent, random);
    await delay(EVERY_MS);
  } while (!isOver() && !hasExited(child));
  child.stdin.end();
  const code = await ended;
  isUnserved ||= daemons.isDown();
  tally.bytes += bytes + returned;
  const isWhole = code === 0 && returned === bytes && back.digest('hex') === sent.digest('hex');
  // one that has not begun: whoever had accepted its connection, or would have, or nobody listened after a kill
  const isKilled =
    returned === 0
      ? daemons.kills() > kills || (isUnserved && /connection (?:refused|reset by peer)/u.test(said))
      : [...holders].some((pid) => pid !== undefined && daemons.wasKilled(pid));
  if (isWhole) tally.ended += 1;
  else if (isKilled) tally.killed += 1;
  else
    tally.broken.push(
      `crictl exec: exit code ${code}, ${returned} of ${bytes} bytes came back: ${said.trim()}`,
    );
}

export const hasExited = (child: ChildProcess): boolean =>
  child.exitCode !== null || child.signalCode !== null;

/** Bytes that no two pieces have in common; waits for a slow reader. */
async function writePiece(child: ChildProcess, hash: Hash, random: Random): Promise<number> {
  const piece = Buffer.alloc(PIECE_BYTES);
  for (let at = 0; at < PIECE_BYTES; at += 4) piece.writeUInt32LE(random.int(2 ** 32), at);
  hash.update(piece);
  const isTaken = child.stdin?.write(piece) ?? true;
  if (!isTaken) await until(() => child.stdin?.writableNeedDrain !== true || hasExited(child));
  return piece.length;
}
