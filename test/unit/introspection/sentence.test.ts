// The sentence of an actor, how long its start took, and the failures of removed actors.
import { describe, expect, it } from 'vitest';
import type { ContainerView, SandboxView, View } from '../../../src/actors/directory/views.ts';
import { describeActor } from '../../../src/introspection/describe.ts';
import { removedFailures } from '../../../src/introspection/failures.ts';
import { ListTexts } from '../../../src/introspection/list-text.ts';
import { sentenceOf } from '../../../src/introspection/sentence.ts';
import { HandClock } from '../../support/hand-clock.ts';
import { container, pull, sandbox, stage } from './stage.ts';

const pod = sandbox(1, 'ready');
const fault = (message: string, kind: 'outside' | 'cancelled' = 'outside') => ({
  kind,
  message,
  subject: '',
  retryable: false,
});
const exit = (exitCode: number, reason = 'Error') => ({
  exitCode,
  reason,
  oomKilled: reason === 'OOMKilled',
  finishedAtNs: 1n,
  message: 'what the container printed',
  observedBy: 'process' as const,
});

async function say(
  view: View,
  paths: readonly string[] = [],
  related: readonly View[] = [],
): Promise<string> {
  const { options, put, recorder, clock } = bench();
  put(view);
  for (const to of paths)
    recorder.note({ address: view.address, from: 'x', to, on: '', cause: '', settled: false, final: false });
  const history = recorder.past(view.address)?.history ?? [];
  const actor = await describeActor(options, view);
  return sentenceOf({ view, actor, history, related, nowNs: clock.nowNs() });
}

function bench() {
  const clock = new HandClock(100_000);
  return { ...stage(clock), clock };
}

const ended = (code: number, reason?: string, part: Partial<ContainerView> = {}): ContainerView =>
  container(1, pod, 'exited', { exit: exit(code, reason), ...part });

describe('the sentence', () => {
  const limited = (attempt: number): ContainerView => {
    const one = ended(137, 'OOMKilled');
    const { key, resources } = one.spec;
    return {
      ...one,
      spec: {
        ...one.spec,
        key: { ...key, attempt },
        resources: { ...resources, memoryLimitBytes: 64n * 1024n * 1024n },
      },
    };
  };

  it.each<readonly [string, View, readonly string[], string]>([
    ['a running container', container(1, pod, 'running'), [], 'Running.'],
    ['a created one', container(1, pod, 'created'), [], 'Created; the client has not started it yet.'],
    ['an exit', ended(3), [], 'Exited by itself with code 3.'],
    ['a crash', ended(139), [], 'Exited by itself with code 139, SIGSEGV.'],
    ['success', ended(0, 'Completed'), [], 'Exited with code 0: completed.'],
    [
      'an OOM kill',
      limited(4),
      [],
      'OOM killed: it used more memory than its limit of 64 MiB (exit code 137). This was attempt 4.',
    ],
    [
      'a signal that was ignored',
      ended(137),
      ['stopping.signalling', 'stopping.waiting.grace', 'stopping.killing'],
      'Killed: it did not exit on SIGTERM within its grace period (exit code 137).',
    ],
    ['a stop', ended(143), ['stopping.signalling'], 'Stopped by its client (exit code 143).'],
    [
      'a start that failed',
      ended(128, 'StartError', { startFault: fault('runc start: no such file') }),
      [],
      'It did not start: runc start: no such file',
    ],
    [
      'a process that SIGKILL does not end',
      container(1, pod, 'stopping.unkillable'),
      [],
      'SIGKILL was sent repeatedly, and its process has not exited: the kernel holds it.',
    ],
    [
      'pending cleanup',
      sandbox(2, 'notReady', { pendingCleanup: ['network'], fault: fault('CNI DEL bridge: exit code 1') }),
      [],
      'Cleanup pending: network. It is tried again. The last attempt failed: CNI DEL bridge: exit code 1',
    ],
    [
      'a quarantine',
      { ...sandbox(2, 'ready'), path: 'quarantined' } as SandboxView,
      [],
      'Quarantined: its actor crashed repeatedly, which is an error of troupe. Stop and remove still work.',
    ],
    ['a pod without containers', pod, [], 'Ready, without containers.'],
    ['a stopped pod', sandbox(2, 'notReady'), [], 'Stopped.'],
    [
      'a pull that failed',
      pull('busybox', 'absent', { fault: fault('unauthorized') }),
      [],
      'Failed: unauthorized',
    ],
  ])('of %s', async (_name, view, paths, expected) => {
    const effective = view.kind === 'container' ? { effective: { stopSignal: 'SIGTERM' } as never } : {};
    expect(await say({ ...view, ...effective }, paths)).toBe(expected);
  });

  it('of a pod names the container that fails, by its last attempts', async () => {
    const named = (attempt: number, view: ContainerView): ContainerView => ({
      ...view,
      spec: { ...view.spec, key: { ...view.spec.key, name: 'app', attempt } },
    });
    const related = [
      named(0, limited(0)),
      named(1, container(2, pod, 'running')),
      container(3, pod, 'running'),
    ];
    expect(await say(pod, [], related)).toBe(
      'Ready; 2 of 2 containers running. Container app, attempt 0: OOM killed: it used more memory than its limit of 64 MiB (exit code 137).',
    );
  });

  it('of a wait has the process and the time that is left; of a grace period the signal', async () => {
    const { options, put, wait, recorder, clock } = bench();
    const made = sandbox(3, 'provisioning.network.adding');
    put(made);
    const end = wait(made, 'addNetwork', 120_000, { on: 'CNI ADD bridge', pid: 4_000_000 });
    await clock.advance(2000);
    const sentence = async (view: View): Promise<string> =>
      sentenceOf({
        view,
        actor: await describeActor(options, view),
        history: recorder.past(view.address)?.history ?? [],
        related: [],
        nowNs: clock.nowNs(),
      });
    expect(await sentence(made)).toBe(
      'Waits on CNI ADD bridge (pid 4000000) for 2.0 s; given up in 1 m 58 s.',
    );
    end();
    const stopping = container(4, pod, 'stopping.waiting.grace', {
      grace: { signal: 'SIGTERM', askedAtMonoMs: clock.monoMs() - 4000, leftMs: 30_000 },
    });
    put(stopping);
    expect(await sentence(stopping)).toBe(
      'SIGTERM was sent 4.0 s ago, and its process has not exited; SIGKILL follows in 26 s.',
    );
  });
});

describe('the time of a start', () => {
  async function started(kind: 'sandbox' | 'container', steps: readonly (readonly [number, string])[]) {
    const { options, recorder, clock } = bench();
    const view = kind === 'sandbox' ? pod : container(1, pod, 'running');
    let from = '';
    for (const [ms, to] of steps) {
      recorder.note({ address: view.address, from, to, on: '', cause: '', settled: false, final: false });
      await clock.advance(ms);
      from = to;
    }
    const { startMs = 0n, startLongest = '' } = await describeActor(options, view);
    return [Number(startMs), startLongest];
  }

  it('is that from the birth until ready, with the longest state', async () => {
    expect(
      await started('sandbox', [
        [10, 'recordingIntent'],
        [700, 'provisioning.network.adding'],
        [40, 'committing'],
        [5000, 'ready'],
        [9, 'stopping'],
      ]),
    ).toEqual([750, 'provisioning.network.adding']);
  });

  it('of a container leaves out the time in which it waits for its start', async () => {
    expect(
      await started('container', [
        [100, 'provisioning.creating'],
        [60_000, 'created'],
        [30, 'starting'],
        [1, 'running'],
      ]),
    ).toEqual([130, 'provisioning.creating']);
  });

  it('is unknown for one that a new instance of the daemon recovered, and while it goes on', async () => {
    expect(
      await started('sandbox', [
        [10, 'recovering'],
        [1, 'ready'],
      ]),
    ).toEqual([0, '']);
    expect(await started('sandbox', [[10, 'provisioning']])).toEqual([0, '']);
  });
});

describe('failures of removed actors', () => {
  it('are in the list, newest first; what a client cancelled is not', async () => {
    const { options, put, drop, recorder } = bench();
    const gone = [
      sandbox(5, 'unwinding', { fault: fault('CNI ADD bridge: exit code 1') }),
      sandbox(6, 'unwinding', { fault: fault('stopped while it was being started', 'cancelled') }),
      pull('busybox', 'absent', { fault: fault('unauthorized') }),
      sandbox(7, 'notReady'),
    ];
    for (const view of gone) {
      put(view);
      drop(view);
    }
    expect(removedFailures(recorder, '').map(({ address }) => address)).toEqual(
      [gone[2], gone[0]].map((view) => view?.address),
    );
    expect(removedFailures(recorder, 'pull')).toHaveLength(1);
    const { actors, failures } = JSON.parse(await new ListTexts(options).answer('')) as {
      actors?: object[];
      failures: { fault: string; removedNs: string }[];
    };
    expect(actors).toBeUndefined();
    expect(failures.map((one) => one.fault)).toEqual(['unauthorized', 'CNI ADD bridge: exit code 1']);
    expect(BigInt(failures[0]?.removedNs ?? 0)).toBeGreaterThan(0n);
  });
});
