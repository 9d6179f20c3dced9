/** `troupe check`: the records against the machine; with `--repair` what belongs to no record is taken away. */
import { join } from 'node:path';
import { cliLimits } from '../bounds.ts';
import { fail, toFault } from '../../base/fault.ts';
import { lockDirectory } from '../../host/files/directory-lock.ts';
import type { DirectoryLock } from '../../host/files/directory-lock.ts';
import { missingAs } from '../../host/ffi/errno.ts';
import { pause } from '../../host/clock/wait.ts';
import { problemOf } from '../../introspection/client.ts';
import type { Config } from '../config/config-schema.ts';
import type { Command } from './context.ts';
import { writeJson } from './context.ts';
import { CommandError, EXIT } from './exit-codes.ts';
import { keyOf, LOOKED_AT, NOT_LOOKED_AT } from './findings.ts';
import type { Finding, Leak } from './findings.ts';
import { judge } from './judge.ts';
import type { Evidence } from './judge.ts';
import { lookAround } from './place.ts';
import type { Look } from './place.ts';
import { fit } from './text.ts';
import { nameOfLeak, takeAway } from './take-away.ts';
import type { Taken } from './take-away.ts';

interface Stage {
  readonly command: Command;
  readonly config: Config;
  readonly isRunning: boolean;
}

interface Judged {
  readonly look: Look;
  readonly findings: readonly Finding[];
}

export async function check(command: Command): Promise<number> {
  const stage = await stageOf(command);
  const first = await settled(stage);
  if (!command.line.flags.has('repair') || first.findings.length === 0) return report(stage, first, []);
  const lock = stage.isRunning ? undefined : await lockIfThere(stage.config.root);
  try {
    const { leaks, refusal } = repairable(first);
    if (refusal !== '') command.screen.note(`troupe check: ${refusal}`);
    const taken = await takeAway(first.look.place, leaks);
    // what the first look saw and is still there, or came to light behind it
    return report(stage, { ...(await once(stage)) }, taken);
  } finally {
    await lock?.release();
  }
}

/** Whom to ask: a running daemon tells its own configuration, so that nobody's pods are judged by another's records. */
async function stageOf(command: Command): Promise<Stage> {
  try {
    const { configJson } = await command.client.status({});
    return { command, config: JSON.parse(configJson) as Config, isRunning: true };
  } catch (thrown) {
    if (problemOf(thrown).problem !== 'unreachable') throw thrown;
  }
  const config = await command.config();
  try {
    await (await lockIfThere(config.root))?.release();
  } catch (thrown) {
    throw new CommandError(
      EXIT.unreachable,
      `troupe check: no daemon answers at ${command.socket}, but one runs: ${toFault(thrown).message}`,
    );
  }
  return { command, config, isRunning: false };
}

/** The root's lock; undefined when there is no such directory. Throws `conflict` when a daemon has it. */
export async function lockIfThere(root: string): Promise<DirectoryLock | undefined> {
  return missingAs(lockDirectory(root), undefined);
}

async function once({ command, config, isRunning }: Stage): Promise<Judged> {
  const look = await lookAround(config, command.clock);
  const live = isRunning ? await liveOf(command) : undefined;
  return { look, findings: judge({ records: look.records, machine: look.machine, live }) };
}

async function liveOf({ client }: Command): Promise<NonNullable<Evidence['live']>> {
  const { actors } = await client.list({});
  const known = actors
    .filter(({ kind }) => kind !== 'pull')
    .map(({ id, state, settled: isSettled }) => [id, { state, settled: isSettled }] as const);
  return { actors: new Map(known), pulls: actors.length - known.length };
}

/** Looks again until what was found is gone or has outlasted the time in which the daemon undoes things by itself. */
async function settled(stage: Stage): Promise<Judged> {
  const { clock, line } = stage.command;
  let judged = await once(stage);
  if (!stage.isRunning || line.flags.has('now')) return judged;
  const deadline = clock.monoMs() + cliLimits.convergeMs;
  for (
    let waitMs: number = cliLimits.lookAgainMs;
    judged.findings.length > 0 && clock.monoMs() < deadline;
    waitMs *= 2
  ) {
    await pause(clock, Math.min(waitMs, cliLimits.lookAgainMostMs));
    const again = await once(stage);
    const before = new Set(judged.findings.map(keyOf));
    judged = { ...again, findings: again.findings.filter((finding) => before.has(keyOf(finding))) };
  }
  return judged;
}

/**
 * What may be taken away. Where a damaged journal may have lost records, what runs without one may be a pod that
 * serves, and its namespaces, network and cgroup bear other ids than its processes: then nothing is touched (F18).
 */
function repairable({ look, findings }: Judged): {
  readonly leaks: readonly Leak[];
  readonly refusal: string;
} {
  const { records, machine, place } = look;
  if (records.end === 'none') {
    fail(
      'wrongState',
      `repair: there is no journal in ${place.layout.root}, so nothing tells whose things these are; troupe wipe removes all`,
    );
  }
  const leaks = findings.flatMap(({ leak }) => leak ?? []);
  const lost = records.end === 'damaged' || records.damagedKept.length > 0;
  const strangers = new Set(leaks.flatMap((leak) => (leak.kind === 'process' ? [leak.process.id] : [])));
  if (!lost || strangers.size === 0) return { leaks, refusal: '' };
  const kept = records.damagedKept.map((name) => join(place.layout.root, 'journal', name)).join(', ');
  const names = machine.processes
    .filter(({ id, role }) => strangers.has(id) && role !== 'monitor')
    .map(({ pid, name }) => `${pid} (${name})`);
  return {
    leaks: [],
    refusal: `nothing is taken away: a damaged journal may have lost the records of what runs: ${names.join(', ')}. End it, or delete ${kept} if it is not wanted`,
  };
}

function report(
  { command, config, isRunning }: Stage,
  { look, findings }: Judged,
  taken: readonly Taken[],
): number {
  const { screen, json } = command;
  const { unread } = look.machine;
  const recordsOf = (id: string): readonly string[] => look.records.histories.get(id) ?? [];
  const problems = taken.filter(({ problem }) => problem !== '');
  if (json) {
    writeJson(screen, {
      clean: findings.length === 0 && unread.length === 0,
      daemon: isRunning ? 'running' : 'stopped',
      root: config.root,
      state: config.state,
      lookedAt: LOOKED_AT,
      notLookedAt: NOT_LOOKED_AT,
      findings: findings.map(({ leak, ...finding }) => ({
        ...finding,
        repairable: leak !== undefined,
        records: recordsOf(finding.id),
      })),
      unread,
      damagedJournals: look.records.damagedKept,
      repaired: taken.map(({ leak, problem }) => ({ object: nameOfLeak(leak), problem })),
    });
  } else {
    for (const { leak, problem } of taken) {
      screen.line(
        problem === ''
          ? `removed  ${nameOfLeak(leak)}`
          : screen.tone('bad', `stays    ${nameOfLeak(leak)}: ${problem}`),
      );
    }
    for (const finding of findings) {
      screen.line(`${screen.tone('bad', finding.invariant.padEnd(4))} ${finding.object}: ${finding.message}`);
      const records = recordsOf(finding.id);
      if (records.length > 0)
        screen.line(screen.tone('dim', `     records: ${fit(records.join(' → '), screen.columns - 14)}`));
    }
    for (const { path, problem } of unread) screen.line(screen.tone('bad', `${path}: ${problem}`));
    for (const name of look.records.damagedKept)
      screen.line(
        `note: ${join(look.place.layout.root, 'journal', name)} was kept: facts were lost at an earlier start`,
      );
    screen.line(summary(findings, isRunning, look));
  }
  return findings.length === 0 && problems.length === 0 && unread.length === 0 ? EXIT.ok : EXIT.failed;
}

function summary(findings: readonly Finding[], isRunning: boolean, { records }: Look): string {
  const { sandboxes, containers, images } = records.ledger;
  const size = `${sandboxes.size} pods, ${containers.size} containers, ${images.size} images on record; the daemon ${isRunning ? 'runs' : 'does not run'}`;
  if (findings.length === 0) return `clean: ${size}`;
  const fixable = findings.filter(({ leak }) => leak !== undefined).length;
  return `${findings.length} ${findings.length === 1 ? 'finding' : 'findings'}, ${fixable} that --repair takes away: ${size}`;
}
