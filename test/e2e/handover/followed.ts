// What clients follow over take-overs: `crictl events`, the same stream by a client of our own, logs, and changes.
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { criClient } from '../../../scripts/support/cri-client.ts';
import { ContainerEventType } from '../../../src/gen/runtime/v1/api_pb.ts';
import { until } from '../../support/eventually.ts';
import { checkout } from '../../support/tools/cache.ts';
import { crictlArgv } from '../streaming/support.ts';
import type { World } from '../support/world.ts';
import { hasExited } from './sessions.ts';

/** The events of a pod or container from its creation to its removal. */
const WHOLE = ['CREATED', 'STARTED', 'STOPPED', 'DELETED'];

const TYPES = new Map<number, string>(Object.entries(ContainerEventType).map(([name, type]) => [type, name]));

/** What has come, and how it is judged in the end. */
export interface Followed {
  /** Ends it, and gives what is wrong. @param removed ids of the pods and containers that were made and removed */
  readonly end: (removed: readonly string[]) => Promise<readonly string[]>;
  readonly count: () => number;
}

/** The events by object. */
class EventLog {
  readonly #byId = new Map<string, string[]>();
  count = 0;

  add(id: string, type: string): void {
    this.count += 1;
    const kept = this.#byId.get(id) ?? [];
    kept.push(type.replace(/^CONTAINER_(\w+)_EVENT$/u, '$1'));
    this.#byId.set(id, kept);
  }

  has(ids: readonly string[]): boolean {
    return ids.every((id) => (this.#byId.get(id)?.length ?? 0) >= WHOLE.length);
  }

  wrong(who: string, ids: readonly string[]): readonly string[] {
    return ids.flatMap((id) => {
      const found = (this.#byId.get(id) ?? []).join(' ');
      return found === WHOLE.join(' ')
        ? []
        : [`${who}: ${id.slice(0, 12)} has the events: ${found || 'none'}`];
    });
  }
}

/** Waits for what is still on its way; what has not come then is missing. */
async function settled(log: EventLog, removed: readonly string[], isOver: () => boolean): Promise<void> {
  await until(() => log.has(removed) || isOver()).catch(() => undefined);
}

export async function followEvents(world: World): Promise<Followed> {
  const argv = ['events', '-o', 'go-template', '--template', '{{.containerId}} {{.containerEventType}}'];
  const { child, lines, said } = await startLines(await crictlArgv(world, argv));
  const log = new EventLog();
  lines((line) => {
    const [id, type] = line.split(' ');
    if (id !== undefined && type !== undefined) log.add(id, type);
  });
  return {
    count: () => log.count,
    end: async (removed) => {
      await settled(log, removed, () => hasExited(child));
      const early = hasExited(child) ? [`crictl events ended with ${child.exitCode}: ${said()}`] : [];
      child.kill('SIGKILL');
      return [...early, ...log.wrong('crictl events', removed)];
    },
  };
}

export async function followStream({ instance }: World): Promise<Followed> {
  const client = criClient(instance.socket, false);
  const stream = client.runtimeStreams.getContainerEvents({});
  const log = new EventLog();
  let outcome = '';
  const reading = (async () => {
    for await (const { containerId, containerEventType } of stream)
      log.add(containerId, TYPES.get(containerEventType) ?? '');
    outcome ||= 'it ended';
  })().catch((error: unknown) => (outcome ||= String(error)));
  await stream.opened;
  return {
    count: () => log.count,
    end: async (removed) => {
      await settled(log, removed, () => outcome !== '');
      const early = outcome === '' ? [] : [`GetContainerEvents: ${outcome}`];
      outcome = 'left';
      stream.cancel();
      await reading;
      client.close();
      return [...early, ...log.wrong('GetContainerEvents', removed)];
    },
  };
}

/** The output of a container that counts, by `crictl logs -f`, `troupe logs -f` or `crictl attach`. */
export async function followCount(
  world: World,
  by: 'crictl logs' | 'troupe logs' | 'crictl attach',
  containerId: string,
): Promise<Followed> {
  const [program, command = ''] = by.split(' ');
  const words = command === 'logs' ? [command, '-f', containerId] : [command, containerId];
  const argv = program === 'crictl' ? await crictlArgv(world, words) : troupeArgv(world, words);
  const { child, lines, said } = await startLines(argv);
  let [count, wrong] = [0, ''];
  // a log begins with the first line, a session with the present one
  let next = command === 'logs' ? 0 : Number.NaN;
  lines((line) => {
    const expected = Number.isNaN(next) ? Number(line) : next;
    if (line !== String(expected)) wrong ||= `${JSON.stringify(line)} in place of ${expected}`;
    next = expected + 1;
    count += 1;
  });
  return {
    count: () => count,
    end: async () => {
      const [isEarly, seen] = [hasExited(child), count];
      // it still follows
      if (!isEarly) await until(() => count > seen || hasExited(child));
      child.kill('SIGKILL');
      return [
        ...(isEarly ? [`${by} ended with ${child.exitCode}: ${said()}`] : []),
        ...(wrong === '' ? [] : [`${by}: ${wrong}`]),
      ];
    },
  };
}

/** Counts for `followCount`. */
export const COUNTING = ['sh', '-c', 'i=0; while :; do echo $i; i=$((i+1)); sleep 0.1; done'];

/** `troupe watch`, which connects anew by itself. */
export async function followChanges(world: World): Promise<Followed> {
  const { child, lines, said } = await startLines(troupeArgv(world, ['watch', '--json']));
  let count = 0;
  lines(() => (count += 1));
  return {
    count: () => count,
    end: () => {
      const isEarly = hasExited(child);
      child.kill('SIGKILL');
      return Promise.resolve(isEarly ? [`troupe watch ended with ${child.exitCode}: ${said()}`] : []);
    },
  };
}

const troupeArgv = ({ instance }: World, words: readonly string[]): readonly [string, ...string[]] => [
  join(checkout, 'bin/troupe'),
  ...words,
  ...instance.options,
];

interface Lines {
  readonly child: ChildProcess;
  readonly lines: (take: (line: string) => void) => void;
  readonly said: () => string;
}

async function startLines([program, ...args]: readonly [string, ...string[]]): Promise<Lines> {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let [rest, said] = ['', ''];
  let take: (line: string) => void = () => undefined;
  child.stderr.on('data', (chunk: Buffer) => (said = (said + chunk.toString()).slice(-500)));
  child.stdout.on('data', (chunk: Buffer) => {
    const [...complete] = (rest + chunk.toString()).split('\n');
    rest = complete.pop() ?? '';
    for (const line of complete) take(line);
  });
  await new Promise<void>((resolve, reject) => void child.once('spawn', resolve).once('error', reject));
  return { child, said: () => said, lines: (listener) => void (take = listener) };
}
