// A changed registries.conf is in force within one poll; a wrong one leaves the one before in force.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { distributionLimits } from '../../../../../src/oci/images/bounds.ts';
import { silentLog } from '../../../../../src/base/log.ts';
import { LiveRegistries } from '../../../../../src/oci/images/registry/live-registries.ts';
import { HandClock } from '../../../../support/hand-clock.ts';

let root: string;
let clock: HandClock;
let live: LiveRegistries;
const errors: string[] = [];

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'troupe-live-'));
  mkdirSync(join(root, 'd'));
  clock = new HandClock();
  errors.length = 0;
  live = new LiveRegistries(clock, {
    ...silentLog,
    error: (fields) => void errors.push(String((fields as { reason: unknown }).reason)),
  });
});

afterEach(() => {
  live.close();
  expect(clock.timers.size).toBe(0);
  rmSync(root, { recursive: true });
});

const write = (name: string, location: string): void =>
  writeFileSync(join(root, name), `[[registry]]\nlocation = "${location}"\n`);
const locations = (): readonly string[] => live.current.rules.map(({ prefix }) => prefix).toSorted();
const begin = async (): Promise<void> =>
  (await live.prepare({ file: join(root, 'r.conf'), directory: join(root, 'd') }))();

it('the file and drop-ins are reloaded when new, changed or deleted', async () => {
  await begin();
  expect(locations()).toEqual([]);
  write('r.conf', 'one.example');
  write('d/10.conf', 'two.example');
  await live.poll();
  expect(locations()).toEqual(['one.example', 'two.example']);
  write('r.conf', 'three.example');
  rmSync(join(root, 'd'), { recursive: true });
  await live.poll();
  expect(locations()).toEqual(['three.example']);
  const before = live.current;
  await live.poll();
  expect(live.current).toBe(before);
});

it('changes are polled', async () => {
  await begin();
  write('r.conf', 'one.example');
  expect([...clock.timers.values()].map(({ ms }) => ms)).toEqual([distributionLimits.confPollMs]);
  clock.fire();
  await expect.poll(locations).toEqual(['one.example']);
});

it('an invalid file is reported once and changes nothing; once fixed it is in force', async () => {
  write('r.conf', 'one.example');
  await begin();
  writeFileSync(join(root, 'r.conf'), 'registry = [');
  await live.poll();
  await live.poll();
  expect([locations(), errors]).toEqual([['one.example'], [expect.stringContaining('r.conf')]]);
  write('r.conf', 'two.example');
  await live.poll();
  expect(locations()).toEqual(['two.example']);
});

it('F95 a prepared file is in force when applied; an invalid one only reports the problem', async () => {
  write('r.conf', 'one.example');
  await begin();
  write('other.conf', 'other.example');
  const apply = await live.prepare({ file: join(root, 'other.conf'), directory: '' });
  expect(locations()).toEqual(['one.example']);
  apply();
  expect(locations()).toEqual(['other.example']);
  writeFileSync(join(root, 'bad.conf'), 'registry = [');
  (await live.prepare({ file: join(root, 'bad.conf'), directory: '' }))();
  expect(locations()).toEqual(['other.example']);
  expect([...live.problems]).toEqual([[join(root, 'bad.conf'), expect.stringContaining('line 1:')]]);
  write('bad.conf', 'good.example');
  await live.poll();
  expect([locations(), live.problems.size]).toEqual([['good.example'], 0]);
});

it('F95 a torn file at the start refuses every pull until it is whole', async () => {
  writeFileSync(join(root, 'r.conf'), '[[registry]]\nlocation = "one.exam');
  await begin();
  expect(live.current.refusal).toContain('r.conf: line 2:');
  await live.poll();
  expect(live.current.refusal).toBeDefined();
  write('r.conf', 'one.example');
  await live.poll();
  expect([live.current.refusal, locations(), live.problems.size]).toEqual([undefined, ['one.example'], 0]);
});
