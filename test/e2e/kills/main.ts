// `sudo npm run kills [-- NAME… --from N --to N --kinds before,after,cancel --anew]`: the daemon is killed before and
// after each system call of each operation that changes the world, started again and checked; and the client cancels
// there. After a call that nobody acts on the world is as before the next one, so that one kill is enough. The points
// of an operation are kept below `.run/kills`, so that a run that was cut off goes on, and the figures are of all
// operations.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { commitAndDate, writeFigures } from '../../../scripts/support/figures.ts';
import { checkout } from '../../support/tools/cache.ts';
import { beginRecord } from '../../support/faults/records.ts';
import { operations } from './operations.ts';
import { killsText, type Kept, type KeptPoint, wrongOf } from './report.ts';
import { type Base, type Kind, KINDS, makeBase, type Point, strike } from './sweep.ts';
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
  for (const operation of chosen) {
    beginRecord(`test/e2e/kills/${operation.name}`);
    await sweep(operation);
  }
  const all = operations.map(({ name }) => read(name)).filter((kept) => kept !== undefined);
  const text = killsText(all);
  console.log(text);
  writeFigures('kills', 'Kills of the daemon at its system calls', text);
  if (wrongOf(all).length > 0) process.exitCode = 1;
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
  mkdirSync(dirname(fileOf(kept.operation)), { recursive: true });
  writeFileSync(fileOf(kept.operation), JSON.stringify(kept, undefined, 1));
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

/** One kind after the other, each until a call is not reached. */
async function sweep(operation: Operation): Promise<void> {
  const { name } = operation;
  const before = values.anew ? undefined : read(name);
  const goesOn = before !== undefined && before.ended.length < KINDS.length;
  const points: KeptPoint[] = goesOn ? [...before.points] : [];
  const ended = new Set<Kind>(goesOn ? before.ended : []);
  const made = commitAndDate();
  let base: Base | undefined;
  try {
    for (const kind of kinds.filter((one) => !ended.has(one))) {
      const done = points.filter((point) => point.kind === kind).map(({ at }) => at);
      for (let at = Math.max(Number(values.from), ...done.map((one) => one + 1)); at <= LAST; at += 1) {
        if (kind === 'after' && !isSeenAtOnce(points, at)) continue;
        base ??= await makeBase(operation.standing);
        const point = await strike(base, operation, { at, kind });
        if (point === undefined) {
          ended.add(kind);
          break;
        }
        points.push({ ...point, made });
        write({ operation: name, ended: [...ended], points });
        console.log(
          `${name} ${kind} ${at} ${point.call}: ${point.problem || `as it must be after ${point.settledMs} ms`}`,
        );
        if (point.problem === '') continue;
        console.log((await base.world.instance.log()).slice(-20_000));
        // what is wrong in it may be so at the next point, too
        await base.world.close();
        base = undefined;
      }
      write({ operation: name, ended: [...ended], points });
    }
  } finally {
    await base?.world.close();
  }
}
