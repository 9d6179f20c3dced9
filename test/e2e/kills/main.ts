// `sudo npm run kills [-- NAME… --from N --to N --kinds before,after,cancel --anew]`: the daemon is killed before and
// after each system call of each operation that changes the world, started again and checked; and the client cancels
// there. After a call that nobody acts on the world is as before the next one, so that one kill is enough. The points
// of an operation are kept below `.run/kills`, so that a run that was cut off goes on, and the figures are of all
// operations.
//
// With `--again` the daemon is killed within each operation, and the next instance before and after each such call of
// its start and recovery (F10); `--parts N`: the first kill is at each N-th part of the operation, but not at its ends.
// `--from` and `--kinds` are not for it.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { commitAndDate, writeFigures } from '../../../scripts/support/figures.ts';
import { checkout } from '../../support/tools/cache.ts';
import { beginRecord } from '../../support/faults/records.ts';
import { operations } from './operations.ts';
import { againText, killsText, type Kept, type KeptPoint, wrongOf } from './report.ts';
import {
  type Base,
  countCalls,
  type Kind,
  KINDS,
  makeBase,
  type Point,
  strike,
  strikeAgain,
} from './sweep.ts';
import type { Operation } from './stage.ts';

/** More calls than any operation has: a sweep that gets there does not end by itself. */
const MOST_CALLS = 2000;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    from: { type: 'string', default: '1' },
    to: { type: 'string', default: String(MOST_CALLS) },
    kinds: { type: 'string', default: KINDS.join() },
    anew: { type: 'boolean', default: false },
    again: { type: 'boolean', default: false },
    parts: { type: 'string', default: '2' },
  },
});

const LAST = Math.min(Number(values.to), MOST_CALLS);
const kinds = KINDS.filter((kind) => values.kinds.split(',').includes(kind));

if (process.getuid?.() === 0) await main();
else {
  console.error('The sweep makes pods, so it needs root: sudo npm run kills');
  process.exitCode = 1;
}

async function main(): Promise<void> {
  const unknown = positionals.filter((name) => !operations.some((one) => one.name === name));
  if (unknown.length > 0)
    throw new Error(
      `unknown: ${unknown.join(', ')}; there are: ${operations.map(({ name }) => name).join(', ')}`,
    );
  const chosen = operations.filter(({ name }) => positionals.length === 0 || positionals.includes(name));
  let stop = async (): Promise<void> => {};
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => void stop().finally(() => process.exit(130)));
  for (const operation of chosen) {
    const base = baseOf(operation);
    stop = base.close;
    beginRecord(`test/e2e/kills/${operation.name}`);
    if (values.again) await sweepRecoveries(operation, base);
    else await sweep(operation, base);
  }
  const all = operations.map(({ name }) => read(nameOf(name))).filter((kept) => kept !== undefined);
  const text = values.again ? againText(all) : killsText(all);
  console.log(text);
  if (values.again) writeFigures('kills again', 'Kills of the daemon in its recovery', text);
  else writeFigures('kills', 'Kills of the daemon at its system calls', text);
  if (wrongOf(all).length > 0) process.exitCode = 1;
}

/** Under which the points of an operation are kept. */
function nameOf(operation: string): string {
  return values.again ? `${operation}-again` : operation;
}

function fileOf(name: string): string {
  return join(checkout, '.run/kills', `${name}.json`);
}

/** What is kept of an operation, of whichever commit. */
function read(name: string): Kept | undefined {
  try {
    return JSON.parse(readFileSync(fileOf(name), 'utf8')) as Kept;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

function write(kept: Kept): void {
  const file = fileOf(nameOf(kept.operation));
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, JSON.stringify(kept, undefined, 1));
}

/**
 * Whether others act on the call at once: a process begins or ends, reads or finds something. After any other call the
 * world is as before the next one, where the daemon is killed, too.
 */
function isSeenAtOnce(points: readonly Point[], at: number): boolean {
  const before = points.find((point) => point.at === at && point.kind === 'before');
  // beyond the last one it has to be tried
  if (before === undefined) return true;
  return /^(?:v?fork|clone|[tg]*kill|pidfd|mount|umount|move_mount|rename|\w+ a (?:pipe|socket))/u.test(
    before.call,
  );
}

/** What is kept of an earlier run, when this one is to go on with it. */
function begun(name: string): { points: KeptPoint[]; ended: Set<Kind> } {
  const before = values.anew ? undefined : read(name);
  const goesOn = before !== undefined && before.ended.length < KINDS.length;
  return { points: goesOn ? [...before.points] : [], ended: new Set(goesOn ? before.ended : []) };
}

interface SweptBase {
  readonly get: () => Promise<Base>;
  readonly close: () => Promise<void>;
  /** Prints the point, and ends the base when something is wrong: it may be so at the next point, too. */
  readonly noted: (point: Point) => Promise<void>;
}

/** A base that is made when it is first asked for, and again after a point with which something was wrong. */
function baseOf({ standing }: Operation): SweptBase {
  let base: Base | undefined;
  const close = async (): Promise<void> => {
    await base?.world.close();
    base = undefined;
  };
  return {
    get: async (): Promise<Base> => (base ??= await makeBase(standing)),
    close,
    noted: async (point: Point): Promise<void> => {
      const { operation, first, kind, at, call, problem, settledMs } = point;
      const where = first === undefined ? kind : `${first}, then ${kind}`;
      console.log(`${operation} ${where} ${at} ${call}: ${problem || `as it must be after ${settledMs} ms`}`);
      if (problem === '') return;
      console.log(((await base?.world.instance.log()) ?? '').slice(-20_000));
      await close();
    },
  };
}

/** One kind after the other, each until a call is not reached. */
async function sweep(operation: Operation, base: SweptBase): Promise<void> {
  const { name } = operation;
  const { points, ended } = begun(name);
  const made = commitAndDate();
  try {
    for (const kind of kinds.filter((one) => !ended.has(one))) {
      const done = points.filter((point) => point.kind === kind).map(({ at }) => at);
      for (let at = Math.max(Number(values.from), ...done.map((one) => one + 1)); at <= LAST; at += 1) {
        if (kind === 'after' && !isSeenAtOnce(points, at)) continue;
        const point = await strike(await base.get(), operation, { at, kind });
        if (point === undefined) {
          ended.add(kind);
          break;
        }
        points.push({ ...point, made });
        write({ operation: name, ended: [...ended], points });
        await base.noted(point);
      }
      write({ operation: name, ended: [...ended], points });
    }
  } finally {
    await base.close();
  }
}

/** From each first kill all of the recovery, before each call and after those that others see at once. */
async function sweepRecoveries(operation: Operation, base: SweptBase): Promise<void> {
  const { name } = operation;
  const before = values.anew ? undefined : read(nameOf(name));
  const points: KeptPoint[] = before?.ended.length === 0 ? [...before.points] : [];
  const made = commitAndDate();
  try {
    const calls = await countCalls(await base.get(), operation, 'again');
    const parts = Number(values.parts);
    let areWhole = true;
    for (let part = 1; part < parts; part += 1) {
      const first = Math.ceil((calls * part) / parts);
      const isOver = await sweepRecovery(
        operation,
        base,
        first,
        async (point) => {
          points.push({ ...point, made });
          write({ operation: name, ended: [], points });
          await base.noted(point);
        },
        points,
      );
      areWhole &&= isOver;
    }
    write({ operation: name, ended: areWhole ? ['before'] : [], points });
  } finally {
    await base.close();
  }
}

/** @returns whether the recovery has no further call */
async function sweepRecovery(
  operation: Operation,
  base: SweptBase,
  first: number,
  onPoint: (point: Point) => Promise<void>,
  points: readonly KeptPoint[],
): Promise<boolean> {
  const mine = (): readonly KeptPoint[] => points.filter((point) => point.first === first);
  for (let at = 1; at <= LAST; at += 1) {
    for (const kind of ['before', 'after'] as const) {
      if (mine().some((point) => point.at === at && point.kind === kind)) continue;
      if (kind === 'after' && !isSeenAtOnce(mine(), at)) continue;
      const point = await strikeAgain(await base.get(), operation, { first, at, kind });
      if (point !== undefined) await onPoint(point);
      else if (kind === 'before') return true;
    }
  }
  return false;
}
