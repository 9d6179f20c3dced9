/** Send a command, wait on the actor's state, with a bound. The one place where an RPC waits for an actor. */
import type { AnyActorRef } from 'xstate';
import type { Cause } from '../../base/cause.ts';
import { fault, FaultError } from '../../base/fault.ts';
import type { Fault } from '../../base/fault.ts';
import type { Activity } from '../effects/activity.ts';
import type { ContainerAddress, ContainerEvent } from '../container/container.context.ts';
import type { PullAddress, PullEvent } from '../image-pull/image-pull.context.ts';
import type { SandboxAddress, SandboxEvent } from '../sandbox/sandbox.context.ts';
import type { ActorEvent, Directory } from './directory.ts';
import type { ClockPort } from '../../ports/clock.ts';
import type { ContainerView, PullView, SandboxView, View } from './views.ts';

/** What every call carries. */
export interface Call {
  readonly cause: Cause;
  /** Aborted when the caller has gone. */
  readonly signal: AbortSignal;
  /** Monotonic milliseconds at which the caller is answered whatever the state; undefined for no bound. */
  readonly deadlineMonoMs: number | undefined;
  /** Aborts once the answer has left, or nobody waits for it: what is kept for it can go. */
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
  /** Sent after the subscription, and again to an actor that was rebuilt meanwhile; undefined only waits. */
  readonly command?: E | undefined;
  /** Called right after the command was sent: what it changed stands in the directory already. */
  readonly onSent?: () => void;
  /** The answer, or undefined to wait on. `gone` with the actor's last view, or undefined when it never was. */
  readonly answer: (view: V | undefined, gone: boolean) => Outcome<T> | undefined;
  /** Called as soon as the answer is a good one: nothing that other calls do comes between the two. */
  readonly onOk?: () => void;
}

interface Addressed {
  readonly address: string;
}

/** `ask` of a sandbox: the command is one that its machine takes. */
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

/** `ask` of a container: the command is one that its machine takes. */
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

/** `ask` of a pull: the command is one that its machine takes. */
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
 * Resolves with the answer's value or rejects with its fault. At the deadline it
 * rejects with `timedOut` and says where the actor is and what it waits on; the
 * actor goes on, and asking again joins it.
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
    let told: AnyActorRef | undefined;
    const tell = (): void => {
      const ref = directory.ref(address);
      if (question.command === undefined || ref === undefined || ref === told) return;
      told = ref;
      ref.send({ ...question.command, cause: call.cause });
    };
    const consider = (view: View | undefined, gone: boolean): void => {
      const outcome = question.answer(view, gone);
      if (outcome === undefined) {
        // rebuilt after a crash: the command has died with the memory of the first (house rule 5.5)
        if (told !== undefined && !gone) tell();
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
    const onAbort = (): void => stopEarly('cancelled');
    call.signal.addEventListener('abort', onAbort, { once: true });
    cleanups.push(() => call.signal.removeEventListener('abort', onAbort));

    if (call.signal.aborted) {
      onAbort();
      return;
    }
    tell();
    question.onSent?.();
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

/** Calls at this monotonic millisecond; gives what calls it off. */
function at(clock: ClockPort, monoMs: number, act: () => void): () => void {
  const timer = clock.setTimeout(act, Math.max(0, monoMs - clock.monoMs()));
  return () => clock.clearTimeout(timer);
}

/**
 * Tries again the undo of what a restart would bring back under the name that is asked for (I4): the disk refused to
 * record that it is not wanted. Rejects with the reason when that fails again.
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
    attempted: `${attempted}: waiting for ${address} to be forgotten`,
    command,
    answer: (now, gone) => {
      if (gone) return { ok: true };
      if (now?.settled !== true) return undefined;
      const why = now.fault?.message ?? `it is ${now.path}`;
      return {
        fault: fault('outside', `${attempted}: ${address} had this name and is still on record: ${why}`, {
          subject: address,
          retryable: true,
        }),
      };
    },
  });
}

/**
 * An actor's fault for the call that waited: a driver's reason may say neither what was asked for nor of whom. What was
 * given up in its favour by another call (stopped, removed, asked for otherwise) is no going away of this caller.
 */
export function forCall(why: Fault, attempted: string, id: string): Fault {
  const message = why.message.includes(id) ? why.message : `${attempted}: ${why.message}`;
  if (why.kind !== 'cancelled') return { ...why, message };
  return fault('superseded', `${message}: another call has stopped, removed or replaced it meanwhile`, {
    subject: id,
  });
}

function stillThere<T>(
  asker: Asker,
  question: Question<T> & Addressed,
  kind: 'timedOut' | 'cancelled',
): string {
  const path = asker.directory.view(question.address)?.path ?? 'unknown';
  const waiting = asker.activity.describe(question.address);
  const ended = kind === 'timedOut' ? 'deadline passed' : 'the caller has gone';
  const on = waiting === '' ? '' : `, waiting on ${waiting}`;
  return `${question.attempted}: ${ended} in state ${path}${on}; the work goes on, the same call joins it`;
}
