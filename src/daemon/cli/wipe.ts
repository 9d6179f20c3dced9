/** `troupe wipe`: removes everything of a stopped instance: processes, mounts, networks, cgroups, files. */
import { lstat, rmdir, unlink } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { fail, toFault } from '../../base/fault.ts';
import { silentLog } from '../../base/log.ts';
import { cgroupDirectories } from '../../host/cgroups/cgroup-layout.ts';
import { onlyAbsent } from '../../host/ffi/errno.ts';
import { endEarlierHelpersIfAny } from '../../host/process/helpers.ts';
import { createLayout } from '../../host/sandbox/layout.ts';
import { namesIfDirectory } from '../../host/files/names-of.ts';
import { releasePinRoot } from '../../host/namespaces/namespaces.ts';
import { realRandom } from '../../host/clock/random.ts';
import { isSlice } from '../../host/cgroups/slices.ts';
import { problemOf } from '../../introspection/client.ts';
import { MASQUERADE_FILE } from '../../network/masquerade.ts';
import { POD_CIDR_FILE } from '../../network/pod-cidr.ts';
import { endStarts } from '../../oci/images/store/drivers/fuse-starts.ts';
import { introspectionSocket } from '../config/config.ts';
import type { Command } from './context.ts';
import { writeJson } from './context.ts';
import { EXIT } from './exit-codes.ts';
import type { Leak } from './findings.ts';
import { lockIfThere } from './lock-if-there.ts';
import type { Machine, MachinePlace } from './machine.ts';
import { placesOfStore } from './machine.ts';
import { inspectNode } from './place.ts';
import type { Inspection } from './place.ts';
import { freeBridges, isGoneSince, nameOfLeak, removeFiles, takeAway } from './take-away.ts';
import type { TakenLeak } from './take-away.ts';

/** Names that a daemon creates in its root; others there are not ours. */
const OF_ROOT = [
  'journal',
  'layers',
  'chains',
  'partial',
  'trash',
  'ingest',
  'storage-driver',
  'containers',
  'cni',
  'logs',
  'pause-rootfs',
  'userns-program',
  'stand-ins',
  'checkpoints',
  'signatures',
  'restores',
  'flight',
  'version',
];
/** Those of them that are in the root of the images if that is another directory. */
const OF_IMAGES = ['layers', 'chains', 'partial', 'trash', 'ingest', 'storage-driver'];
/** Names that a daemon creates in its state directory. */
const OF_STATE = [
  'containers',
  'exits',
  'sandboxes',
  'ns',
  'runtimes',
  'handlers',
  'shims',
  'imports',
  'key-rings',
  'dumps',
  'relays',
  'helpers.json',
  'introspection.token',
  'network.proven',
  MASQUERADE_FILE,
  POD_CIDR_FILE,
  'helpers.json.new',
  'introspection.token.new',
  'network.proven.new',
  `${MASQUERADE_FILE}.new`,
  `${POD_CIDR_FILE}.new`,
];
/** Containers named in a refusal. */
const NAMED = 5;

export async function wipe(command: Command): Promise<number> {
  await refuseRunning(command);
  const config = await command.config();
  const lock = await lockIfThere(config);
  try {
    // helpers of a killed daemon could create again what is removed below
    await endEarlierHelpersIfAny({
      file: createLayout(config).helpersFile,
      clock: command.clock,
      random: realRandom(),
      log: silentLog,
    });
    const node = await inspectNode(config, command.clock);
    if (!command.line.flags.has('force')) refusePods(node);
    // a fuse-overlayfs that a killed daemon was starting could mount again
    await endStarts(placesOfStore(node.place), command.clock);
    const taken = await takeAway(node.place, everything(node.machine));
    // rules that a DEL has left, or an interrupted one
    const rest = (await inspectNode(config, command.clock)).machine;
    const ids = new Set<string>([...node.machine.attachments, ...node.records.ledger.sandboxes.keys()]);
    const rules = rest.rules.filter(({ id }) => ids.has(id)).map((rule): Leak => ({ kind: 'rules', rule }));
    taken.push(...(await takeAway(node.place, rules)));
    taken.push(...(await takeAway(node.place, await freeBridges(node.place))));
    // reported last: a command that found nothing because it could not read has not succeeded
    const unread = new Map([...node.machine.unread, ...rest.unread].map((one) => [one.path, one]));
    taken.push(
      ...[...unread.values()].map(({ path, problem }): TakenLeak => ({
        leak: { kind: 'files', path },
        problem,
      })),
    );
    const files = await removeContents(node.place, taken, command.line.flags.has('force'));
    const after = { names: new Set(everything(rest).map(nameOfLeak)), startTicks: rest.startTicks };
    const gone = taken.filter((one) => isGoneSince(one, files, after));
    return report(command, { taken: taken.filter((one) => !gone.includes(one)), gone, files });
  } finally {
    await lock.release();
  }
}

/** Asks at the socket, too: a daemon of an older version has no lock on its state directory. */
async function refuseRunning({ client, socket }: Command): Promise<void> {
  try {
    const { pid } = await client.status({});
    fail('conflict', `wipe: a daemon runs (pid ${pid}) and answers at ${socket}; stop it first`);
  } catch (thrown) {
    if (problemOf(thrown).problem !== 'unreachable') throw thrown;
  }
}

function refusePods({ machine, records }: Inspection): void {
  const ids = [...new Set(machine.processes.map(({ id }) => id))];
  if (ids.length === 0) return;
  const names = ids.slice(0, NAMED).map((id) => {
    const { sandboxes, containers } = records.ledger;
    const key = [...containers.values(), ...sandboxes.values()].find(({ intent }) => intent.id === id)?.intent
      .spec.key;
    return key === undefined ? id : `${key.name} (${id.slice(0, 13)})`;
  });
  const more = ids.length > NAMED ? ` and ${ids.length - NAMED} more` : '';
  fail('wrongState', `wipe: still running: ${names.join(', ')}${more}; stop them first, or use --force`);
}

function everything(machine: Machine): readonly Leak[] {
  return [
    ...machine.processes.map((process): Leak => ({ kind: 'process', process })),
    ...machine.cgroups.map((cgroup): Leak => ({ kind: 'cgroup', cgroup })),
    ...machine.attachments.map((id): Leak => ({ kind: 'attachment', id })),
    ...[...new Set(machine.masquerades.map(({ rule }) => rule.bridge))].map((bridge): Leak => ({
      kind: 'masquerade',
      bridge,
    })),
    ...machine.mounts.map(({ path }): Leak => ({ kind: 'mount', path })),
    ...machine.entries.flatMap(({ kind, path }): readonly Leak[] =>
      kind === 'namespace pins' ? [{ kind: 'pins', path }] : [],
    ),
  ];
}

/** Keeps the directories themselves: they may be mounts, or have been made by others with another mode. */
async function removeContents(
  place: MachinePlace,
  taken: readonly TakenLeak[],
  isForced: boolean,
): Promise<readonly TakenLeak[]> {
  const { layout, config, cgroups } = place;
  const { root: images } = placesOfStore(place);
  // among files these are only the unreadable ones
  const networkIsPending = taken.some(
    ({ leak, problem }) => (leak.kind === 'attachment' || leak.kind === 'files') && problem !== '',
  );
  const kept = (name: string): boolean => name === 'cni' && networkIsPending && !isForced;
  const paths = [
    ...OF_STATE.map((name) => join(layout.state, name)),
    ...(images === layout.root ? [] : OF_IMAGES.map((name) => join(images, name))),
    // the journal last: until then an interrupted wipe can be distinguished from a fresh root
    ...OF_ROOT.filter((name) => !kept(name))
      .toReversed()
      .map((name) => join(layout.root, name)),
  ];
  const done: TakenLeak[] = [];
  const attempt = async (path: string, work: () => Promise<void>): Promise<void> => {
    try {
      await work();
      done.push({ leak: { kind: 'files', path }, problem: '' });
    } catch (thrown) {
      done.push({ leak: { kind: 'files', path }, problem: toFault(thrown).message });
    }
  };
  if ((await namesIfDirectory(layout.pinsDir)).length === 0) await releasePinRoot(layout.pinsDir);
  const there = new Set(
    (
      await Promise.all(
        [layout.root, layout.state, images].map(async (directory) =>
          (await namesIfDirectory(directory)).map((name) => join(directory, name)),
        ),
      )
    ).flat(),
  );
  for (const path of paths) if (there.has(path)) await attempt(path, () => removeFiles(path));
  const sockets = [config.socket, introspectionSocket(config), createLayout(config).takeOverSocket];
  for (const socket of sockets) if (await isSocket(socket)) await attempt(socket, () => unlink(socket));
  // EBUSY if others have cgroups below it: then it is not ours alone
  if (isSlice(config.cgroup.parent)) return done;
  for (const directory of cgroupDirectories(cgroups, config.cgroup.parent))
    await rmdir(directory).catch(() => undefined);
  return done;
}

async function isSocket(path: string): Promise<boolean> {
  return (await lstat(path).catch(onlyAbsent))?.isSocket() ?? false;
}

interface WipeResult {
  readonly taken: readonly TakenLeak[];
  /** Those whose removal, or reading, failed and which a later step has removed. */
  readonly gone: readonly TakenLeak[];
  readonly files: readonly TakenLeak[];
}

function report({ screen, json }: Command, { taken, gone, files }: WipeResult): number {
  const all = [...taken, ...gone, ...files];
  const problems = [...taken, ...files].filter(({ problem }) => problem !== '');
  if (json) {
    writeJson(screen, {
      removed: all.filter((one) => !problems.includes(one)).map(({ leak }) => nameOfLeak(leak)),
      stays: problems.map(({ leak, problem }) => ({ object: nameOfLeak(leak), problem })),
    });
  } else {
    const counts = new Map<string, number>();
    for (const { leak, problem } of taken)
      if (problem === '') counts.set(leak.kind, (counts.get(leak.kind) ?? 0) + 1);
    for (const [kind, count] of counts) screen.line(`removed ${count} × ${kind}`);
    const names = files
      .filter(({ problem }) => problem === '')
      .map(({ leak }) => (leak.kind === 'files' ? `${basename(leak.path)}` : ''));
    if (names.length > 0) screen.line(`removed ${names.join(', ')}`);
    for (const { leak, problem } of gone)
      screen.line(`removed ${nameOfLeak(leak)} after a failure: ${problem}`);
    for (const { leak, problem } of problems)
      screen.line(screen.tone('bad', `stays: ${nameOfLeak(leak)}: ${problem}`));
    if (all.length === 0) screen.line('nothing to remove');
  }
  return problems.length === 0 ? EXIT.ok : EXIT.failed;
}
