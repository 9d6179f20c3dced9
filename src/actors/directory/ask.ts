/** Sends a command to an actor and waits, bounded, for its state. Every RPC that waits for an actor waits here. */
import type { AnyActorRef } from 'xstate';
import { onAbort } from '../../base/abort.ts';
import type { Cause } from '../../base/cause.ts';
import { fault, FaultError, restated } from '../../base/fault.ts';
import type { Fault } from '../../base/fault.ts';
import type { Activity } from '../effects/activity.ts';
import type { ContainerAddress, ContainerEvent } from '../container/container.context.ts';
import type { PullAddress, PullEvent } from '../image-pull/image-pull.context.ts';
import type { SandboxAddress, SandboxEvent } from '../sandbox/sandbox.context.ts';
import type { ActorEvent, Directory } from './directory.ts';
import type { ClockPort } from '../../ports/clock.ts';
import { awaitsExit } from './phases.ts';
import type { ContainerView, PullView, SandboxView, View } from './views.ts';

/** What every call carries. */
export interface Call {
  readonly cause: Cause;
  /** Aborted when the caller has gone. */
  readonly signal: AbortSignal;
  /** Monotonic milliseconds at which the caller is answered whatever the state; undefined for no bound. */
  readonly deadlineMonoMs: number | undefined;
  /** Wall clock at which an earlier daemon was asked for the same: it may have done it. */
  readonly askedNs?: bigint | undefined;
  /** Aborts once the answer was sent or nobody waits for it: resources kept for the answer can be released. */
  readonly over?: AbortSignal | undefined;
}

export type Outcome<T> = { readonly ok: T } | { readonly fault: Fault };

export interface Asker {
  readonly directory: Directory;
  readonly activity: Activity;
  readonly clock: ClockPort;
}

export interface Question<T, V extends View = View, E extends ActorEvent = ActorEvent> {
  /** Such as `StopContainer 3f2a…`; begins every message. */
  readonly attempted: string;
  /** Sent once the listener is registered, and again if the actor was rebuilt. Undefined: `ask` only waits. */
  readonly command?: E | undefined;
  /** Named by the answer at the deadline when the actor has no effect in progress. */
  readonly waitsOn?: string;
  /**
   * The answer, or undefined to keep waiting. When `gone`, the view is the actor's last one; undefined if it never
   * existed.
   */
  readonly answer: (view: V | undefined, gone: boolean) => Outcome<T> | undefined;
  /** Called in the same turn as a successful answer, so that no other call can act in between. */
  readonly onOk?: () => void;
}

interface Addressed {
  readonly address: string;
}

/** `ask`, typed for sandboxes: only events of the sandbox machine can be sent. */
export function askSandbox<T>(
  asker: Asker,
  call: Call,
  question: Question<T, SandboxView, SandboxEvent> & { readonly address: SandboxAddress },
): Promise<T> {
  return ask(asker, call, {
    ...question,
    answer: (view, gone) => question.answer(view?.kind === 'sandbox' ? view : undefined, gone),
  });
}

/** `ask`, typed for containers: only events of the container machine can be sent. */
export function askContainer<T>(
  asker: Asker,
  call: Call,
  question: Question<T, ContainerView, ContainerEvent> & { readonly address: ContainerAddress },
): Promise<T> {
  return ask(asker, call, {
    ...question,
    answer: (view, gone) => question.answer(view?.kind === 'container' ? view : undefined, gone),
  });
}

/** `ask`, typed for pulls: only events of the pull machine can be sent. */
export function askPull<T>(
  asker: Asker,
  call: Call,
  question: Question<T, PullView, PullEvent> & { readonly address: PullAddress },
): Promise<T> {
  return ask(asker, call, {
    ...question,
    answer: (view, gone) => question.answer(view?.kind === 'pull' ? view : undefined, gone),
  });
}

/**
 * Resolves with the answer's value or rejects with its fault. At the deadline it rejects with `timedOut`, naming the
 * actor's state and the effect that it waits on. The actor continues, and a repeated call joins it. When the actors are
 * stopped it rejects with `notReady`: the next start continues what has begun.
 */
export function ask<T>(asker: Asker, call: Call, question: Question<T> & Addressed): Promise<T> {
  const { directory, clock } = asker;
  const { address } = question;
  return new Promise<T>((resolve, reject) => {
    const cleanups: (() => void)[] = [];
    let finished = false;
    const finish = (act: () => void): void => {
      if (finished) return;
      finished = true;
      for (const cleanup of cleanups) cleanup();
      act();
    };
    let sentTo: AnyActorRef | undefined;
    const sendCommand = (): void => {
      const ref = directory.ref(address);
      if (question.command === undefined || ref === undefined || ref === sentTo) return;
      sentTo = ref;
      ref.send({ ...question.command, cause: call.cause });
    };
    const consider = (view: View | undefined, gone: boolean): void => {
      const outcome = question.answer(view, gone);
      if (outcome === undefined) {
        // an actor rebuilt after a crash has lost the command, which is not durable
        if (sentTo !== undefined && !gone) sendCommand();
        return;
      }
      finish(() => settleWith(outcome, question, resolve, reject));
    };
    const stopEarly = (kind: 'timedOut' | 'cancelled'): void =>
      finish(() =>
        reject(new FaultError(fault(kind, stillThere(asker, question, kind), { subject: address }))),
      );

    asker.activity.asked(address, call.cause);
    cleanups.push(() =>
      asker.activity.answered(address, call.cause, directory.view(address)?.settled !== false),
    );
    cleanups.push(directory.listen(address, consider));
    if (call.deadlineMonoMs !== undefined) {
      cleanups.push(at(clock, call.deadlineMonoMs, () => stopEarly('timedOut')));
    }
    const stopAll = (): void => finish(() => reject(stopped(directory, question)));
    // the server ends its calls when a drain has had its time, be it just before the actors are stopped
    const atAbort = (): void => (isStopping(call.signal) ? stopAll() : stopEarly('cancelled'));
    cleanups.push(onAbort(call.signal, atAbort));
    if (call.signal.aborted) return;
    cleanups.push(directory.onEnd(stopAll));
    sendCommand();
    const view = directory.view(address);
    if (!finished) consider(view, view === undefined);
  });
}

function settleWith<T>(
  outcome: Outcome<T>,
  question: Question<T>,
  resolve: (value: T) => void,
  reject: (reason: FaultError) => void,
): void {
  if ('fault' in outcome) {
    reject(new FaultError(outcome.fault));
    return;
  }
  question.onOk?.();
  resolve(outcome.ok);
}

/** Calls `act` at this monotonic millisecond; returns the function that cancels it. */
function at(clock: ClockPort, monoMs: number, act: () => void): () => void {
  const timer = clock.setTimeout(act, Math.max(0, monoMs - clock.monoMs()));
  return () => clock.clearTimeout(timer);
}

/**
 * Repeats a failed undo or removal until the actor is gone. Used for an actor that holds the requested name and is
 * still in the journal: the disk refused the record of its removal, or the removal failed before that, and a restart
 * would bring it back (I4). Rejects with the reason when it fails again.
 */
export function untilForgotten(
  asker: Asker,
  { address }: View,
  attempted: string,
  call: Call,
  command: ActorEvent,
): Promise<true> {
  return ask(asker, call, {
    address,
    attempted: `${attempted}: waiting for the removal of ${address}`,
    command,
    answer: (now, gone) => {
      if (gone) return { ok: true };
      if (now?.settled !== true) return undefined;
      const why = now.fault?.message ?? `it is in state ${now.path}`;
      return {
        fault: restated(
          'outside',
          `${attempted}: ${address} has this name and its removal fails: ${why}`,
          now.fault,
          { subject: address, retryable: true },
        ),
      };
    },
  });
}

/**
 * An actor's fault as the answer to a waiting call. It adds operation and id where the driver's message lacks them. An
 * actor that was cancelled by another call (Stop, Remove, a different request) becomes `superseded`: this caller has
 * not cancelled anything.
 */
export function forCall(why: Fault, attempted: string, id: string): Fault {
  const message = why.message.includes(id) ? why.message : `${attempted}: ${why.message}`;
  if (why.kind !== 'cancelled') return { ...why, message };
  const others = 'another call has stopped, removed or replaced it meanwhile';
  return restated('superseded', `${message}: ${others}`, why, { subject: id });
}

function stillThere<T>(
  asker: Asker,
  question: Question<T> & Addressed,
  kind: 'timedOut' | 'cancelled',
): string {
  const path = asker.directory.view(question.address)?.path ?? 'unknown';
  const waiting = waitingOn(asker, question.address) || (question.waitsOn ?? '');
  const ended = kind === 'timedOut' ? 'deadline passed' : 'the caller has gone';
  const on = waiting === '' ? '' : `, waiting on ${waiting}`;
  return `${question.attempted}: ${ended} in state ${path}${on}; the work goes on, the same call joins it`;
}

function isStopping({ reason }: AbortSignal): boolean {
  return reason instanceof FaultError && reason.fault.kind === 'notReady';
}

/** Without this answer the server would wait for the call as long as a drain may take. */
function stopped<T>(directory: Directory, { attempted, address }: Question<T> & Addressed): FaultError {
  const path = directory.view(address)?.path ?? 'unknown';
  return new FaultError(
    fault('notReady', `${attempted}: the daemon is stopping, in state ${path}; the next start continues it`, {
      subject: address,
    }),
  );
}

/** What an actor waits for: its effects, or the exit of its process once a stop has come. Empty for neither. */
function waitingOn({ activity, directory }: Asker, address: string): string {
  const waiting = activity.describe(address);
  const view = directory.view(address);
  if (waiting !== '' || view?.kind !== 'container' || !awaitsExit(view)) return waiting;
  return `the exit of process ${view.init?.pid ?? ''}`.trimEnd();
}
