/** The first parts of a start: the lock, the journal, and the end of what an earlier daemon has left running. */
import { join } from 'node:path';
import { ledgerFold } from '../../actors/ledger/ledger.ts';
import { detectCgroups } from '../../host/cgroups/cgroup-layout.ts';
import { lockDirectory, withStateLocked } from '../../host/files/directory-lock.ts';
import type { DirectoryLock } from '../../host/files/directory-lock.ts';
import { endEarlierHelpers } from '../../host/process/helpers.ts';
import type { Layout } from '../../host/sandbox/layout.ts';
import { troupeCharts } from '../../introspection/charts.ts';
import { meteredDisk } from '../../introspection/metrics-ports.ts';
import { openDisk } from '../../journal/disk.ts';
import { openJournal, readJournal } from '../../journal/journal.ts';
import type { Ports } from '../../ports/ports.ts';
import type { Config } from '../config/config-schema.ts';
import { lockSoon } from '../takeover/lock-soon.ts';
import { runningRelays, untilGone } from '../takeover/relays.ts';
import { platformOrPlain } from './machine-platform.ts';
import { createObservability } from './observability.ts';
import { orWithout } from './optional-part.ts';
import type { PartReport } from './optional-part.ts';
import { makeOwnDirectories, makeTopDirectory } from './own-directories.ts';
import { Rechecked, whileThere } from './rechecked.ts';
import { liveRegistries } from './registry.ts';
import { VERSION } from './version.ts';
import { namingWriter, noteVersion, versionIn } from './written-by.ts';

export type BasePorts = Pick<Ports, 'clock' | 'random' | 'log'>;

/**
 * The parts that every start needs, and the end of an earlier daemon's helpers. Until the journal was read, nothing in
 * root and state is changed: it may be one of a newer version (F93).
 */
export async function holdNode(config: Config, layout: Layout, handed: BasePorts, isTakingOver: boolean) {
  const { clock, log } = handed;
  const locked = (path: string): Promise<DirectoryLock> =>
    isTakingOver ? lockSoon(() => lockDirectory(path), clock) : lockDirectory(path);
  await makeTopDirectory(layout.root);
  const rootLock = await locked(layout.root);
  const observability = createObservability(config, troupeCharts, handed);
  const { conditions } = observability;
  const part: PartReport = { clock, conditions };
  const rechecked = new Rechecked(clock, conditions);
  const disk = meteredDisk(await openDisk(journalDirectory(layout)), clock, (ms, isOk) =>
    observability.metrics.journalSync(ms, isOk),
  );
  const [read, lastVersion, cgroups, platform, live] = await Promise.all([
    namingWriter(layout.root, () => readJournal(disk, ledgerFold)),
    versionIn(layout.root),
    detectCgroups(),
    platformOrPlain(part),
    // reads the node's files and starts no program, so it need not come after the helpers
    liveRegistries(config, clock, log),
  ]);
  await makeTopDirectory(layout.state);
  // a daemon on another root would end the helpers of the one that runs there, and unmount its pods' namespaces
  const lock = await withStateLocked(rootLock, layout, locked);
  // before the journal may become one of this version
  if (lastVersion !== VERSION) await noteVersion(layout.root, log);
  for (const moved of await makeOwnDirectories(layout)) rechecked.report(moved, whileThere(moved));
  const relays = await runningRelays(layout.relaysDir);
  const heldSessions = relays.length === 0 ? undefined : untilGone(relays, clock);
  const [opened, boot] = await Promise.all([
    openJournal({ disk, fold: ledgerFold, log, clock }, read),
    orWithout(
      part,
      'helpers of an earlier boot',
      () => endEarlierHelpers({ file: layout.helpersFile, spared: relays.map((one) => one.boot), ...handed }),
      '',
      Infinity,
    ),
  ]);
  return { lock, boot, observability, part, rechecked, opened, cgroups, platform, live, heldSessions };
}

export type Start = Awaited<ReturnType<typeof holdNode>>;

export function journalDirectory({ root }: Layout): string {
  return join(root, 'journal');
}
