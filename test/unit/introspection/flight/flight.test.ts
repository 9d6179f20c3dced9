// What the flight recorder keeps of calls, events and effects, and what never gets into it (S91, S92).
import { describe, expect, test } from 'vitest';
import { fault, FaultError } from '../../../../src/base/fault.ts';
import { flightLimits as limits } from '../../../../src/introspection/bounds.ts';
import { FlightRecorder } from '../../../../src/introspection/flight/flight.ts';
import type { FlightEntry, SeenEvent } from '../../../../src/introspection/flight/entries.ts';
import { canary } from '../../../support/canaries.ts';
import { HandClock } from '../../../support/hand-clock.ts';
import { containerSpec } from '../../actors/fixtures.ts';

function recording() {
  const clock = new HandClock(1000);
  const flight = new FlightRecorder({ clock, version: '1', pid: 7 });
  const kept = (kind: FlightEntry['kind']): readonly FlightEntry[] =>
    flight.entries().filter((entry) => entry.kind === kind);
  return { clock, flight, kept };
}

const cause = (origin: string, requestId = 'r1') => ({ origin, requestId });
const seen = (part: Partial<SeenEvent> = {}): SeenEvent => ({
  address: 'container/c',
  to: 'running',
  settled: true,
  final: false,
  event: { type: 'container.claim' },
  context: { id: 'c', claimed: true },
  value: 'running',
  starts: [],
  ...part,
});
const effect = (part: object = {}) => ({
  owner: 'container/c',
  effect: 'create',
  sinceMonoMs: 1000,
  endMonoMs: 1040,
  outcome: 'ok' as const,
  fault: undefined,
  waits: [],
  ...part,
});

describe('calls', () => {
  test('are kept with the actors that they waited for', () => {
    const { clock, flight, kept } = recording();
    const ended = flight.call(cause('RunPodSandbox'));
    flight.asked('sandbox/a', cause('RunPodSandbox'));
    flight.asked('sandbox/a', cause('RunPodSandbox'));
    expect(kept('call')).toMatchObject([{ method: 'RunPodSandbox', endMs: undefined, code: '' }]);
    clock.pass(30);
    ended('ok');
    expect(kept('call')).toEqual([
      {
        kind: 'call',
        atMs: 1000,
        endMs: 1030,
        method: 'RunPodSandbox',
        requestId: 'r1',
        code: 'ok',
        actors: ['sandbox/a'],
      },
    ]);
  });

  test('that only read are kept when they fail or are slow', () => {
    const { clock, flight, kept } = recording();
    flight.call(cause('Status'))('ok');
    flight.call(cause('ListContainers'))('unavailable');
    const slow = flight.call(cause('ExecSync'));
    clock.pass(limits.slowMs);
    slow('ok');
    expect(kept('call')).toMatchObject([{ method: 'ListContainers' }, { method: 'ExecSync' }]);
  });
});

describe('effects', () => {
  test('are kept with their waits, without paths, and with the kind of their fault only', () => {
    const { flight, kept } = recording();
    const secret = canary('fault');
    const failed = fault('outside', `exec ${secret}: permission denied`);
    const waits = [
      { atMs: 1001, on: 'journal sync' },
      { atMs: 1002, on: 'unmount: /var/lib/kubelet/pods/secret', pid: 12 },
      { atMs: 1002, on: 'close the archive "/mnt/my secret/a.tar"' },
      { atMs: 1003, on: 'manifest and config of docker.io/library/busybox' },
    ];
    flight.effect(effect({ outcome: 'failed', fault: failed, waits }));
    expect(kept('effect')).toEqual([
      {
        kind: 'effect',
        atMs: 1000,
        endMs: 1040,
        actor: 'container/c',
        effect: 'create',
        outcome: 'failed',
        fault: 'outside',
        reason: 'permission denied',
        waits: [
          { atMs: 1001, on: 'journal sync' },
          { atMs: 1002, on: 'unmount: /…', pid: 12 },
          { atMs: 1002, on: 'close the archive "/…' },
          { atMs: 1003, on: 'manifest and config of docker.io/library/busybox' },
        ],
      },
    ]);
  });

  test('of probes and of the janitor are kept when they fail or are slow', () => {
    const { flight, kept } = recording();
    flight.effect(effect({ effect: 'execSync' }));
    flight.effect(effect({ effect: 'execSync', endMonoMs: 1000 + limits.slowMs }));
    flight.effect(effect({ effect: 'sweep', outcome: 'failed' }));
    expect(kept('effect').length).toBe(2);
  });
});

describe('events', () => {
  test('S91 S92: carry no word of command, environment, labels, annotations or messages', () => {
    const { flight } = recording();
    const [command, env, label, message, auth] = ['command', 'env', 'label', 'message', 'auth'].map(canary);
    const spec = containerSpec({
      command: [String(command)],
      env: [{ name: 'A', value: String(env) }],
      labels: { a: String(label) },
      annotations: { a: String(label) },
    });
    const thrown = new FaultError(fault('outside', String(message), { quotesOutput: true }));
    const exit = {
      exitCode: 3,
      finishedAtNs: 5n,
      oomKilled: false,
      reason: 'Error',
      message,
      observedBy: 'exitFile',
    };
    const context = { id: 'c', spec, fault: thrown.fault, exit, auth, making: { env }, resolved: { auth } };
    const events = [
      { type: 'xstate.init', input: { ...context, entry: 'new' } },
      { type: 'xstate.error.actor.create', error: thrown },
      { type: 'xstate.done.actor.create', output: { pid: 4, startTicks: 1n, bootId: auth } },
      { type: 'container.exited', exit },
      { type: 'container.update', update: { opId: 'u', change: { unified: { a: env } } } },
      { type: 'unknown', secret: auth },
    ];
    for (const event of events)
      flight.event(seen({ address: `container/${event.type}`, context, event }), '');
    const text = JSON.stringify(flight.entries());
    for (const secret of [command, env, label, message, auth]) expect(text).not.toContain(secret);
    expect(text).toContain('"exitCode":3');
    expect(text).toContain('"pid":4');
  });

  test('carry the facts of their actor once in each segment, and again after a gap', () => {
    const { clock, flight, kept } = recording();
    flight.event(seen(), '');
    flight.event(seen(), 'StopContainer r1');
    clock.pass(limits.segmentMs);
    flight.event(seen(), '');
    flight.event(seen(), '');
    expect(kept('clock').length).toBe(1);
    const withFacts = (): readonly boolean[] => kept('event').map((entry) => 'context' in entry);
    expect(withFacts()).toEqual([true, false, true, false]);
    for (let more = 0; more <= limits.pending; more += 1) flight.effect(effect());
    expect(flight.drain().at(-1)).toMatchObject({ kind: 'dropped' });
    flight.event(seen(), '');
    expect(withFacts().at(-1)).toBe(true);
  });
});
