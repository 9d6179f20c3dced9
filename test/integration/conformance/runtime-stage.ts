/** The stage of the runtime suite with the real runc and conmon, below a temporary root. */
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { BundleInput } from '../../../src/ports/runtime.ts';
import type { ContainerId } from '../../../src/base/ids.ts';
import { containerCgroup } from '../../../src/host/sandbox/layout.ts';
import type { BundleWriter } from '../../../src/oci/runtime/container/parts.ts';
import type { Behaviour, RuntimeStage, Verb } from '../../conformance/runtime-stage.ts';
import { cgroupPaths } from '../runtime/kernel.ts';
import { RUNC, World, processesNaming, wrapper } from '../runtime/support.ts';
import { EVENT_MS } from '../../support/patience.ts';
import { until } from '../../support/eventually.ts';

const PROGRAMS: Readonly<Record<Behaviour, readonly string[]>> = {
  // the first line shows that the traps are set: before, init ignores signals
  speaks: [
    'sh',
    '-c',
    'n=0; say() { n=$((n+1)); echo $n; }; trap say USR1; trap "exit 143" TERM; say; while :; do sleep 0.02; done',
  ],
  stubborn: ['sleep', '1000'],
  seven: ['sh', '-c', 'echo 1; exit 7'],
  zero: ['sh', '-c', 'echo 1'],
  hungry: ['tail', '/dev/zero'],
};
const HUNGRY_BYTES = 16n * 1024n * 1024n;

/** Makes it; the sandbox has its cgroup. */
export async function realRuntimeStage(): Promise<RuntimeStage> {
  const world = new World();
  world.driver.close();
  const troubles = join(world.root, 'troubles');
  const handlers = [{ name: 'runc', path: spoiledRunc(world.root, troubles), kind: 'oci' as const }];
  const options = { handlers, bundles: repeatable(world) };
  world.driver = world.newDriver(options);
  await world.open();
  mkdirSync(troubles);
  const logs = new LogFiles();
  const pidOf = (path: string): number => Number(readFileSync(path, 'utf8'));
  const stage: RuntimeStage = {
    get port() {
      return world.driver;
    },
    restart: async () => {
      world.driver.close();
      world.driver = world.newDriver(options);
      await world.driver.open();
    },
    container: (behaviour) => {
      const { id, bundle, effective, logPath } = world.container(PROGRAMS[behaviour]);
      logs.put(id, logPath);
      return { ...withMemory(bundle, behaviour), effective };
    },
    pause: { id: world.sandboxId, sandbox: world.container([]).bundle.sandbox },
    reported: (id) => world.exits.get(id) ?? [],
    until: async (poll) => void (await until(poll)),
    spoil: (verb, how) => writeFileSync(join(troubles, verb), how),
    heal: () => {
      for (const verb of VERBS) rmSync(join(troubles, verb), { force: true });
      rmSync(join(troubles, 'hanging'), { force: true });
    },
    whenHanging: (act) =>
      void until(() => existsSync(join(troubles, 'hanging')) || hangingExec(world)).then(act),
    killMonitor: (id) => process.kill(pidOf(world.layout.monitorPidFile(id)), 'SIGKILL'),
    killInit: ({ init }) => process.kill(init.pid, 'SIGKILL'),
    killPause: ({ pid }) => process.kill(pid, 'SIGKILL'),
    strayExit: (id, code) => writeFileSync(world.layout.exitFile(id), `${code}`),
    speak: async (one) => {
      const before = logs.count(one.id);
      process.kill(one.init.pid, 'SIGUSR1');
      await until(() => logs.count(one.id) > before);
    },
    lines: ({ id }) => logs.lines(id),
    rotate: ({ id }) => logs.rotate(id),
    memoryLimit: ({ id }) => limitOf(containerCgroup(world.parent, id)),
    close: async () => {
      stage.heal();
      await world.driver.destroyPause(stage.pause, {
        signal: new AbortController().signal,
        timeoutMs: EVENT_MS,
        note: () => undefined,
      });
      const left = await world.close();
      if (left.length > 0) throw new Error(`left: ${left.join(', ')}`);
    },
  };
  return stage;
}

/** `runc spec`, which the writer of these tests begins with, refuses to write over a bundle; the real writer does. */
function repeatable(world: World): BundleWriter {
  const writer = world.bundleWriter();
  return {
    ...writer,
    writeBundle: (input, fx) => {
      rmSync(world.layout.configJson(input.id), { force: true });
      return writer.writeBundle(input, fx);
    },
  };
}

const VERBS: readonly Verb[] = ['create', 'start', 'update', 'delete'];

/** runc, but for the verbs of which a file in `troubles` says how they go wrong. */
function spoiledRunc(root: string, troubles: string): string {
  return wrapper(
    root,
    'spoiled-runc',
    `for word in "$@"; do case $word in ${VERBS.join('|')}) verb=$word;; esac; done
[ -e "${troubles}/$verb" ] && read -r how < "${troubles}/$verb"
case $how in
  hangs) touch ${troubles}/hanging; exec sleep 1000;;
  fails) echo 'made to fail' >&2; exit 1;;
esac
exec ${RUNC} "$@"`,
  );
}

/** An exec that hangs has become its program. */
function hangingExec(world: World): boolean {
  return world.ids.some((id) => processesNaming(id).some((line) => /^\d+ sleep 1000 $/u.test(line)));
}

function withMemory(bundle: BundleInput, behaviour: Behaviour): BundleInput {
  if (behaviour !== 'hungry') return bundle;
  const { spec } = bundle;
  return { ...bundle, spec: { ...spec, resources: { ...spec.resources, memoryLimitBytes: HUNGRY_BYTES } } };
}

/** The logs of containers, and what the kubelet does to them. */
class LogFiles {
  readonly #files = new Map<ContainerId, { readonly path: string; readonly rotated: string[] }>();

  put(id: ContainerId, path: string): void {
    this.#files.set(id, { path, rotated: [] });
  }

  lines(id: ContainerId): ReturnType<RuntimeStage['lines']> {
    const log = this.#files.get(id);
    return {
      rotated: (log?.rotated ?? []).map((path) => numbersIn(path) ?? []),
      current: log === undefined ? undefined : numbersIn(log.path),
    };
  }

  count(id: ContainerId): number {
    const { rotated, current } = this.lines(id);
    return rotated.flat().length + (current?.length ?? 0);
  }

  rotate(id: ContainerId): void {
    const log = this.#files.get(id);
    if (log === undefined) return;
    const to = `${log.path}.${log.rotated.length + 1}`;
    renameSync(log.path, to);
    log.rotated.push(to);
  }
}

/** The last word of each whole line: conmon puts time, stream and tag before it. */
function numbersIn(path: string): readonly number[] | undefined {
  if (!existsSync(path)) return undefined;
  const text = readFileSync(path, 'utf8');
  return text
    .slice(0, text.lastIndexOf('\n') + 1)
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const found = / stdout F (\d+)$/u.exec(line)?.[1];
      if (found === undefined) throw new Error(`no line of ours in ${path}: ${line}`);
      return Number(found);
    });
}

function limitOf(cgroup: string): bigint | undefined {
  const file = cgroupPaths(cgroup)
    .flatMap((path) => ['memory.limit_in_bytes', 'memory.max'].map((name) => join(path, name)))
    .find((path) => existsSync(path));
  const text = file === undefined ? 'max' : readFileSync(file, 'utf8').trim();
  // v1 says "no limit" by the largest number of pages
  return text === 'max' || BigInt(text) > 1n << 60n ? undefined : BigInt(text);
}
