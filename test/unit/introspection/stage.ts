// Fabricated actors behind the real service: a directory, an activity and a recorder that tests fill by hand.
import type { AnyActorRef } from 'xstate';
import { Activity } from '../../../src/actors/effects/activity.ts';
import { Directory } from '../../../src/actors/directory/directory.ts';
import type { ClockPort } from '../../../src/ports/clock.ts';
import type { Waiting } from '../../../src/ports/effect.ts';
import type { Troupe } from '../../../src/actors/troupe.ts';
import type { ContainerState, PullState, SandboxState } from '../../../src/actors/directory/states.ts';
import type { ContainerView, PullView, SandboxView, View } from '../../../src/actors/directory/views.ts';
import { Conditions } from '../../../src/base/conditions.ts';
import { silentLog } from '../../../src/base/log.ts';
import { parseContainerId, parseSandboxId } from '../../../src/base/ids.ts';
import { troupeCharts } from '../../../src/introspection/charts.ts';
import { FlightRecorder } from '../../../src/introspection/flight/flight.ts';
import { Recorder } from '../../../src/introspection/recorder.ts';
import type { IntrospectionOptions } from '../../../src/introspection/service.ts';
import { containerSpec, containerView, sandboxSpec } from '../actors/fixtures.ts';

/** The machine's time, for tests with a browser; wall time strictly rises, as the port demands. */
export function wallClock(): ClockPort {
  let last = 0n;
  return {
    nowNs: () =>
      (last = BigInt(Date.now()) * 1_000_000n > last ? BigInt(Date.now()) * 1_000_000n : last + 1n),
    monoMs: () => performance.now(),
    setTimeout: (fn, ms) => setTimeout(fn, ms),
    clearTimeout: (handle) => clearTimeout(handle as NodeJS.Timeout),
  };
}

const id = (letter: string, number: number): string =>
  `${letter}${number.toString(16).padStart(11, '0')}`.padEnd(64, letter);

/** A state, or one below it. */
type PathOf<State extends string> = State | `${State}.${string}`;

function topOf<State extends string>(path: PathOf<State>): State {
  return path.split('.', 1)[0] as State;
}

/** The view of a sandbox, by number. */
export function sandbox(
  number: number,
  path: PathOf<SandboxState>,
  part: Partial<SandboxView> = {},
): SandboxView {
  const sandboxId = parseSandboxId(id('a', number)) ?? fallen();
  const state = topOf(path);
  return {
    kind: 'sandbox',
    address: `sandbox/${sandboxId}`,
    id: sandboxId,
    path,
    state,
    settled: state === 'ready' || state === 'notReady' || state === 'cleanupPending',
    listed: state !== 'provisioning',
    claimed: true,
    committed: true,
    fault: undefined,
    createdAtNs: BigInt(Date.now()) * 1_000_000n,
    ready: state === 'ready',
    ips: ['10.62.0.2'],
    spec: sandboxSpec({
      key: {
        name: `pod-${String(number).padStart(3, '0')}`,
        namespace: number % 3 === 0 ? 'shop' : 'default',
        uid: `u${number}`,
        attempt: 0,
      },
    }),
    pause: undefined,
    stopCleanupPending: false,
    removal: false,
    cleanupPending: false,
    pendingCleanup: [],
    ...part,
  };
}

/** The view of a container of that sandbox. */
export function container(
  number: number,
  of: SandboxView,
  path: PathOf<ContainerState>,
  part: Partial<ContainerView> = {},
): ContainerView {
  const containerId = parseContainerId(id('c', number)) ?? fallen();
  const spec = containerSpec({
    key: { sandboxId: of.id, name: part.spec?.key.name ?? `app-${number}`, attempt: 0 },
  });
  const state = topOf(path);
  const createdAtNs = BigInt(Date.now()) * 1_000_000n;
  return containerView(state, {
    address: `container/${containerId}`,
    id: containerId,
    path,
    createdAtNs,
    pendingCleanup: [],
    ...part,
    spec,
  });
}

export function pull(reference: string, path: PullState, part: Partial<PullView> = {}): PullView {
  return {
    kind: 'pull',
    address: `pull/${Buffer.from(reference).toString('hex').slice(0, 16)}`,
    path,
    state: path,
    settled: false,
    listed: false,
    claimed: true,
    fault: undefined,
    reference,
    imageId: '',
    repoDigest: '',
    present: path === 'present',
    ...part,
  };
}

function fallen(): never {
  throw new Error('the fixture made a bad id');
}

export interface Stage {
  readonly options: IntrospectionOptions;
  readonly troupe: Troupe;
  readonly activity: Activity;
  readonly recorder: Recorder;
  /** The actor is in this state now. */
  readonly put: (view: View, on?: string, cause?: string) => void;
  /** The actor has ended. */
  readonly drop: (view: View) => void;
  /** An effect of this actor that waits until the returned function is called. */
  readonly wait: (view: View, effect: string, timeoutMs: number, waiting: Waiting) => () => void;
}

/** A troupe without images; its handlers and network are ready. */
function troupeOf(directory: Directory, activity: Activity): Troupe {
  const parts: Partial<Troupe> = {
    directory,
    activity,
    images: () => [],
    imageUsage: () => Promise.reject(new Error('this stage has no disk')),
    pullLayers: () => [],
    notReadyReason: () => undefined,
    hasRecovered: () => true,
    writeRefusal: () => undefined,
    networkStatus: () => ({ ready: true, message: '' }) as ReturnType<Troupe['networkStatus']>,
    handlers: () => [
      { name: '', ready: true, reason: '', recursiveReadOnlyMounts: true, userNamespaces: true },
    ],
  };
  return parts as Troupe;
}

function optionsOf(
  parts: Pick<IntrospectionOptions, 'troupe' | 'activity' | 'recorder' | 'clock'>,
): IntrospectionOptions {
  return {
    ...parts,
    flight: new FlightRecorder({ clock: parts.clock, version: '0.0.0-test', pid: process.pid }),
    history: undefined,
    charts: troupeCharts,
    version: '0.0.0-test',
    process: { pid: process.pid, startedNs: 1n, rssBytes: () => 1 },
    socket: '/run/test.sock',
    configView: () => ({}),
    configRefusal: () => undefined,
    configWaiting: () => [],
    formerDaemons: () => [],
    configFiles: () => ['/etc/troupe/troupe.toml'],
    page: () => ({ origin: 'http://127.0.0.1:10010', tokenFile: '/run/troupe/introspection.token' }),
    lostFacts: undefined,
    disks: () => Promise.resolve([]),
    conditions: new Conditions(silentLog),
  };
}

/** Nobody acts here: views come from the test. */
export function stage(clock: ClockPort = wallClock()): Stage {
  const directory = new Directory();
  const activity = new Activity(clock);
  const recorder = new Recorder(clock);
  recorder.attach(directory);
  const troupe = troupeOf(directory, activity);
  const before = new Map<string, string>();
  const put = (view: View, on = 'xstate.init', cause = ''): void => {
    recorder.note({
      address: view.address,
      from: before.get(view.address) ?? '',
      to: view.path,
      on,
      cause,
      settled: view.settled,
      final: false,
    });
    before.set(view.address, view.path);
    directory.put(view, {} as AnyActorRef);
  };
  return {
    troupe,
    activity,
    recorder,
    put,
    options: optionsOf({ troupe, activity, recorder, clock }),
    drop: (view) => {
      recorder.note({
        address: view.address,
        from: before.get(view.address) ?? '',
        to: 'gone',
        on: 'done',
        cause: '',
        settled: true,
        final: true,
      });
      directory.drop(view);
    },
    wait: (view, effect, timeoutMs, waiting) => {
      let end: () => void = () => undefined;
      const done = new Promise<void>((resolve) => (end = resolve));
      void activity.run(view.address, effect, timeoutMs, new AbortController().signal, (fx) => {
        fx.note(waiting);
        return done;
      });
      return end;
    },
  };
}
