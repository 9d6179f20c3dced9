// Calls by a client in Go, as the kubelet is one: the time of each is the one that the kubelet would see. A client in
// Node takes 1 to 2 ms more for a call, and would do so beside the floor, which makes no calls.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { Socket } from 'node:net';
import { createInterface } from 'node:readline';
import {
  create,
  type DescMethodUnary,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from '@bufbuild/protobuf';
import { criTimer } from '../support/tools/cri-timer.ts';

export interface TimedAnswer<T> {
  readonly answer: T;
  /** Of the call alone. */
  readonly ms: number;
}

export interface GoCaller {
  readonly call: <M extends DescMethodUnary>(
    method: M,
    request: MessageInitShape<M['input']>,
  ) => Promise<TimedAnswer<MessageShape<M['output']>>>;
  readonly end: () => Promise<void>;
}

/** A line of cri-timer's output. */
interface Answered {
  readonly id: number;
  readonly nanoseconds: number;
  /** base64. */
  readonly answer: string | null;
  readonly error?: string;
}

const callers = new Map<string, Promise<GoCaller>>();

/**
 * One for each socket of a daemon, for as long as this process lives; it connects again to a daemon that was restarted.
 * Calls reject when they fail, and when the program ends.
 */
export function goCaller(socket: string): Promise<GoCaller> {
  const known = callers.get(socket) ?? startCaller(socket);
  callers.set(socket, known);
  return known;
}

/** Ends the one of this socket, if there is one, once its calls have ended: for a check of what is left. */
export async function endGoCaller(socket: string): Promise<void> {
  await (await callers.get(socket))?.end();
}

async function startCaller(socket: string): Promise<GoCaller> {
  const program = spawn(await criTimer(), ['calls', socket], { stdio: ['pipe', 'pipe', 'inherit'] });
  const waiting = new Map<number, PromiseWithResolvers<Answered>>();
  let last = 0;
  // this process may end while no call is in progress, and the program ends with its input
  const streams = [program.stdin, program.stdout].filter((stream) => stream instanceof Socket);
  const hold = (isHeld: boolean): void => {
    for (const held of [program, ...streams]) {
      if (isHeld) held.ref();
      else held.unref();
    }
  };
  hold(false);
  createInterface({ input: program.stdout }).on('line', (line) => {
    const answered = JSON.parse(line) as Answered;
    waiting.get(answered.id)?.resolve(answered);
    waiting.delete(answered.id);
    if (waiting.size === 0) hold(false);
  });
  program.once('exit', (code) => {
    callers.delete(socket);
    for (const call of waiting.values()) call.reject(new Error(`cri-timer calls: ended with ${code}`));
  });
  return {
    end: async () => {
      if (program.exitCode !== null || program.signalCode !== null) return;
      const exited = once(program, 'exit');
      hold(true);
      program.stdin.end();
      await exited;
    },
    call: async (method, request) => {
      const id = (last += 1);
      const call = Promise.withResolvers<Answered>();
      waiting.set(id, call);
      hold(true);
      const bytes = toBinary(method.input, create(method.input, request));
      const line = {
        id,
        method: `/${method.parent.typeName}/${method.name}`,
        request: Buffer.from(bytes).toString('base64'),
      };
      program.stdin.write(`${JSON.stringify(line)}\n`);
      const { nanoseconds, answer, error } = await call.promise;
      if (error !== undefined) throw new Error(`${method.name}: ${error}`);
      return {
        answer: fromBinary(method.output, Buffer.from(answer ?? '', 'base64')) as MessageShape<
          (typeof method)['output']
        >,
        ms: nanoseconds / 1e6,
      };
    },
  };
}
