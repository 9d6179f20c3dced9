/** `troupe check`: compares the records with the machine; `--repair` removes what belongs to no record. */
import { join } from 'node:path';
import { cliLimits } from '../bounds.ts';
import { fail, toFault } from '../../base/fault.ts';
import { pause } from '../../host/clock/wait.ts';
import { problemOf } from '../../introspection/client.ts';
import type { Config } from '../config/config-schema.ts';
import type { Command } from './context.ts';
import { writeJson } from './context.ts';
import { CommandError, EXIT } from './exit-codes.ts';
import { keyOf, CHECKED, NOT_CHECKED } from './findings.ts';
import type { Finding, Leak } from './findings.ts';
import { judge } from './judge.ts';
import type { NodeEvidence } from './judge.ts';
import { lockIfThere } from './lock-if-there.ts';
import { inspectNode } from './place.ts';
import type { Inspection } from './place.ts';
import { orRefusedStart } from './refused-start.ts';
import { amount, fit } from './text.ts';
import { nameOfLeak, takeAway } from './take-away.ts';
import type { TakenLeak } from './take-away.ts';

interface Stage {
  readonly command: Command;
  readonly config: Config;
  readonly isRunning: boolean;
}

interface CheckResult {
  readonly findings: readonly Pick<Finding, 'leak'>[];
  readonly unread: Inspection['machine']['unread'];
  readonly isRunning: boolean;
  readonly records: {
    readonly ledger: Readonly<
      Record<'sandboxes' | 'containers' | 'images', Pick<ReadonlyMap<string, unknown>, 'size'>>
    >;
  };
}

interface Judged {
  readonly node: Inspection;
  readonly findings: readonly Finding[];
}

export async function check(command: Command): Promise<number> {
  const stage = await stageOf(command);
  const first = await settled(stage);
  if (!command.line.flags.has('repair') || first.findings.length === 0) return report(stage, first, []);
  const lock = stage.isRunning ? undefined : await lockIfThere(stage.config);
  try {
    const { leaks, refusal } = repairable(first);
    if (refusal !== '') command.screen.note(`troupe check: ${refusal}`);
    const taken = await takeAway(first.node.place, leaks);
    // what remains of the findings, or has become visible by the repair
    return report(stage, { ...(await once(stage)) }, taken);
  } finally {
    await lock?.release();
  }
}

/** A running daemon gives its own configuration, so that pods are never compared with another instance's records. */
async function stageOf(command: Command): Promise<Stage> {
  try {
    const { configJson } = await command.client.status({});
    return { command, config: JSON.parse(configJson) as Config, isRunning: true };
  } catch (thrown) {
    if (problemOf(thrown).problem !== 'unreachable') throw await orRefusedStart(command, thrown);
  }
  const config = await command.config();
  try {
    await (await lockIfThere(config)).release();
  } catch (thrown) {
    throw new CommandError(
      EXIT.unreachable,
      `troupe check: no daemon answers at ${command.socket}, but one holds the lock: ${toFault(thrown).message}`,
    );
  }
  return { command, config, isRunning: false };
}

async function once({ command, config, isRunning }: Stage): Promise<Judged> {
  const node = await inspectNode(config, command.clock);
  const live = isRunning ? await liveOf(command) : undefined;
  return { node, findings: judge({ records: node.records, machine: node.machine, live }) };
}

async function liveOf({ client }: Command): Promise<NonNullable<NodeEvidence['live']>> {
  const { actors } = await client.list({});
  const known = actors
    .filter(({ kind }) => kind !== 'pull')
    .map(({ id, state, settled: isSettled }) => [id, { state, settled: isSettled }] as const);
  return { actors: new Map(known), pulls: actors.length - known.length };
}

/**
 * Repeats the comparison until the findings are gone, or have persisted longer than the daemon takes to undo things by
 * itself.
 */
async function settled(stage: Stage): Promise<Judged> {
  const { clock, line } = stage.command;
  let judged = await once(stage);
  if (!stage.isRunning || line.flags.has('now')) return judged;
  const deadline = clock.monoMs() + cliLimits.convergeMs;
  for (
    let waitMs: number = cliLimits.againMs;
    judged.findings.length > 0 && clock.monoMs() < deadline;
    waitMs *= 2
  ) {
    await pause(clock, Math.min(waitMs, cliLimits.againMostMs));
    const again = await once(stage);
    const before = new Set(judged.findings.map(keyOf));
    judged = { ...again, findings: again.findings.filter((finding) => before.has(keyOf(finding))) };
  }
  return judged;
}

/**
 * What `--repair` may remove. If a damaged journal may have lost records, a process without a record may be a serving
 * pod, whose namespaces, network and cgroup have other ids than its processes: then nothing is removed (F18).
 */
function repairable({ node, findings }: Judged): {
  readonly leaks: readonly Leak[];
  readonly refusal: string;
} {
  const { records, machine, place } = node;
  if (records.end === 'none') {
    fail(
      'wrongState',
      `repair: no journal in ${place.layout.root}, so the owner of these objects is unknown; troupe wipe removes everything`,
    );
  }
  const leaks = findings.flatMap(({ leak }) => leak ?? []);
  const lost = records.end === 'damaged' || records.damagedKept.length > 0;
  const unrecorded = new Set(leaks.flatMap((leak) => (leak.kind === 'process' ? [leak.process.id] : [])));
  if (!lost || unrecorded.size === 0) return { leaks, refusal: '' };
  const kept = records.damagedKept.map((name) => join(place.layout.root, 'journal', name)).join(', ');
  const names = machine.processes
    .filter(({ id, role }) => unrecorded.has(id) && role !== 'monitor')
    .map(({ pid, name }) => `${pid} (${name})`);
  return {
    leaks: [],
    refusal: `nothing is removed: a damaged journal may have lost the records of running processes: ${names.join(', ')}. End them, or delete ${kept} if they are not needed`,
  };
}

function report(
  { command, config, isRunning }: Stage,
  { node, findings }: Judged,
  taken: readonly TakenLeak[],
): number {
  const { screen, json } = command;
  const { unread } = node.machine;
  const recordsOf = (id: string): readonly string[] => node.records.histories.get(id) ?? [];
  const problems = taken.filter(({ problem }) => problem !== '');
  if (json) {
    writeJson(screen, {
      clean: findings.length === 0 && unread.length === 0,
      daemon: isRunning ? 'running' : 'stopped',
      root: config.root,
      state: config.state,
      lookedAt: CHECKED,
      notLookedAt: NOT_CHECKED,
      findings: findings.map(({ leak, ...finding }) => ({
        ...finding,
        repairable: leak !== undefined,
        records: recordsOf(finding.id),
      })),
      unread,
      damagedJournals: node.records.damagedKept,
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
    for (const name of node.records.damagedKept)
      screen.line(
        `note: ${join(node.place.layout.root, 'journal', name)} was kept: records were lost at an earlier start`,
      );
    screen.line(checkSummary({ findings, unread, isRunning, records: node.records }));
  }
  return findings.length === 0 && problems.length === 0 && unread.length === 0 ? EXIT.ok : EXIT.failed;
}

/** The last line: clean only if all could be read. */
export function checkSummary({ findings, unread, isRunning, records }: CheckResult): string {
  const { sandboxes, containers, images } = records.ledger;
  const counts = [
    amount(sandboxes.size, 'pod'),
    amount(containers.size, 'container'),
    amount(images.size, 'image'),
  ];
  const size = `${counts.join(', ')} on record; the daemon is ${isRunning ? 'running' : 'stopped'}`;
  if (findings.length === 0)
    return unread.length === 0 ? `clean: ${size}` : `no finding, but not all could be read: ${size}`;
  const fixable = findings.filter(({ leak }) => leak !== undefined).length;
  return `${findings.length} ${findings.length === 1 ? 'finding' : 'findings'}, ${fixable} that --repair can remove: ${size}`;
}
