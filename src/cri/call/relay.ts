/** Asks another daemon what was asked of this one: requests and answers are passed on as bytes. */
import type { ClientReadableStream, ServiceError } from '@grpc/grpc-js';
import { Client, credentials, Metadata } from '@grpc/grpc-js';
import type { ClockPort } from '../../ports/clock.ts';
import { onAbort } from '../../base/abort.ts';
import { fault } from '../../base/fault.ts';
import { edgeLimits, relayLimits } from '../bounds.ts';
import { ASKED, TRACEPARENT } from './call-headers.ts';
import { shortName, START, STAYS } from './call-switch.ts';
import type { Onward } from './call-switch.ts';
import type { CallContext } from './server.ts';
import { startedThere } from './started-there.ts';
import { abortError, grpcCode, RpcError, toStatus } from './status.ts';
import type { GrpcCodeName } from './status.ts';

export interface Relay extends Onward {
  /** Settles once the other daemon has answered, or `relayLimits.reachMs` have passed. Begins to connect. */
  reached(): Promise<void>;
  close(): void;
}

const NAMES = new Map(Object.entries(grpcCode).map(([name, code]) => [code as number, name as GrpcCodeName]));

/** A relay to whoever serves the CRI at this path. */
export function relayTo(path: string, clock: Pick<ClockPort, 'monoMs' | 'nowNs' | 'setTimeout'>): Relay {
  const client = new Client(`unix:${path}`, credentials.createInsecure(), {
    'grpc.max_receive_message_length': edgeLimits.sendBytes,
    'grpc.max_send_message_length': edgeLimits.receiveBytes,
    'grpc.initial_reconnect_backoff_ms': relayLimits.againMs,
    'grpc.max_reconnect_backoff_ms': relayLimits.againMs,
  });
  const optionsOf = ({ deadlineMonoMs }: CallContext): { deadline?: number } =>
    deadlineMonoMs === undefined
      ? {}
      : { deadline: Number(clock.nowNs() / 1_000_000n) + deadlineMonoMs - clock.monoMs() };
  const unary = (name: string, request: Uint8Array, call: CallContext): Promise<Uint8Array> =>
    new Promise((resolve, reject) => {
      const asked = client.makeUnaryRequest(
        `/${name}`,
        asIs,
        asIs,
        bufferOf(request),
        metadataOf(call),
        optionsOf(call),
        (error, answer) => {
          stopListening();
          if (error === null && answer !== undefined) resolve(answer);
          else reject(rpcError(error, call.signal));
        },
      );
      const stopListening = onAbort(call.signal, () => asked.cancel());
    });
  const ready = (untilMs: number, signal: AbortSignal): Promise<void> =>
    new Promise((resolve, reject) => {
      const stopListening = onAbort(signal, () => reject(abortError(signal)));
      client.waitForReady(Number(clock.nowNs() / 1_000_000n) + untilMs - clock.monoMs(), (error) => {
        stopListening();
        if (error === undefined) resolve();
        else
          reject(new RpcError({ code: 'unavailable', message: 'the daemon that serves can not be reached' }));
      });
    });
  return {
    unary: untilReached(unary, clock, ready),
    stream: (name, request, call, write) =>
      passed(
        client.makeServerStreamRequest(
          `/${name}`,
          asIs,
          asIs,
          bufferOf(request),
          metadataOf(call),
          optionsOf(call),
        ),
        call,
        write,
      ),
    reached: () =>
      new Promise((resolve) => {
        client.waitForReady(Number(clock.nowNs() / 1_000_000n) + relayLimits.reachMs, () => resolve());
      }),
    close: () => client.close(),
  };
}

/**
 * Asks again while the other daemon can't be reached or is not ready, up to the call's deadline and for
 * `relayLimits.reachMs` at most, anew after one that was at work on it for long; the longer that lasts, the longer it
 * waits in between. Says then since when it asks: the daemon that it asked first may have carried the call out before
 * it died. A call that would not join what it has begun, as ExecSync, waits for a connection and is asked once.
 * @param ready settles once there is a connection; rejects at this time of `monoMs`, and when the caller goes
 */
export function untilReached(
  ask: Onward['unary'],
  clock: Pick<ClockPort, 'monoMs' | 'nowNs' | 'setTimeout'>,
  ready: (untilMs: number, signal: AbortSignal) => Promise<void>,
): Onward['unary'] {
  return async (name, request, first) => {
    const askedNs = first.askedNs ?? clock.nowNs();
    let call = first;
    const patience = (): number =>
      Math.min(first.deadlineMonoMs ?? Infinity, clock.monoMs() + relayLimits.reachMs);
    let untilMs = patience();
    let renewals = 0;
    if (STAYS.has(shortName(name))) {
      await ready(untilMs, call.signal);
      return ask(name, request, call);
    }
    let waitMs = 0;
    for (;;) {
      const sinceMs = clock.monoMs();
      try {
        if (call === first || shortName(name) !== START) return await ask(name, request, call);
        // the one that was asked before may have started it
        return await startedThere((one, bytes) => ask(one, bytes, call), name, request, askedNs);
      } catch (thrown) {
        const isAgain = thrown instanceof RpcError && thrown.status.code === 'unavailable';
        const nowMs = clock.monoMs();
        if (nowMs - sinceMs > relayLimits.longMs && renewals < relayLimits.renewals) {
          // one that was at work on the call for long has died
          renewals += 1;
          untilMs = patience();
          waitMs = 0;
        }
        const leftMs = untilMs - nowMs - relayLimits.againMs;
        if (!isAgain || call.signal.aborted || leftMs <= 0) throw thrown;
        waitMs = Math.min(leftMs, longer(waitMs));
      }
      await pauseUnlessGone(clock, waitMs, call.signal);
      if (call.signal.aborted) throw abortError(call.signal);
      call = { ...first, askedNs };
    }
  };
}

/** The wait in ms behind one of so many, or none: within a quarter of an outage the call learns that it has ended. */
function longer(ms: number): number {
  return Math.min(relayLimits.againMostMs, Math.max(relayLimits.againMs, ms * 1.25));
}

/** Resolves after `ms`, or when the signal aborts. */
function pauseUnlessGone(
  clock: Pick<ClockPort, 'setTimeout'>,
  ms: number,
  signal: AbortSignal,
): Promise<void> {
  return new Promise((resolve) => {
    const stopListening = onAbort(signal, resolve);
    clock.setTimeout(() => {
      stopListening();
      resolve();
    }, ms);
  });
}

/** Passes on the messages of a stream, each once the one before was taken. */
async function passed(
  asked: ClientReadableStream<Buffer>,
  { signal }: CallContext,
  write: (message: Uint8Array) => Promise<void>,
): Promise<void> {
  const stopListening = onAbort(signal, () => asked.cancel());
  try {
    for await (const message of asked) await write(message as Buffer);
  } catch (thrown) {
    throw rpcError(thrown, signal);
  } finally {
    stopListening();
    asked.cancel();
  }
}

function asIs(bytes: Buffer): Buffer {
  return bytes;
}

function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function metadataOf({ traceparent, askedNs }: CallContext): Metadata {
  const metadata = new Metadata();
  if (traceparent !== undefined) metadata.set(TRACEPARENT, traceparent);
  if (askedNs !== undefined) metadata.set(ASKED, String(askedNs));
  return metadata;
}

/** Of a request that was cancelled here it says why: gRPC says that its client did, which is this daemon. */
function rpcError(thrown: unknown, signal: AbortSignal): RpcError {
  if (thrown instanceof RpcError) return thrown;
  if (signal.aborted) return abortError(signal);
  if (!isServiceError(thrown)) return new RpcError(toStatus(fault('outside', String(thrown)), ''));
  return new RpcError({ code: NAMES.get(thrown.code) ?? 'unknown', message: thrown.details });
}

function isServiceError(thrown: unknown): thrown is ServiceError {
  return thrown instanceof Error && 'code' in thrown && 'details' in thrown;
}
