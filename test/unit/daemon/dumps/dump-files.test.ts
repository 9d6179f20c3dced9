// Where dumps are written, who may read them, and how many stay.
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { dumpLimits } from '../../../../src/daemon/bounds.ts';
import { dumpsOf, writeDump } from '../../../../src/daemon/dumps/dump-files.ts';

let directory = '';
beforeAll(() => void (directory = mkdtempSync(join(tmpdir(), 'troupe-dumps-'))));
afterAll(() => rmSync(directory, { recursive: true }));

const second = (at: number): bigint => 1_795_000_000_000_000_000n + BigInt(at) * 1_000_000_000n;
const mode = (path: string): number => statSync(path).mode & 0o777;

it('only root may read them; the newest of each kind stay, and what a crash has cut goes', async () => {
  const state = join(directory, 'state');
  mkdirSync(state);
  const heap = await writeDump(state, 'heap', { text: 'old', nowNs: second(0), pid: 1 });
  const dumps = join(state, 'dumps');
  writeFileSync(`${heap.replace('-1.json', '-2.json')}.new`, 'cut');
  writeFileSync(join(dumps, 'of-an-administrator.json'), '');
  const written: string[] = [];
  for (let at = 1; at <= dumpLimits.kept + 2; at += 1)
    written.push(await writeDump(state, 'state', { text: `${at}`, nowNs: second(at), pid: 9 }));
  expect(readdirSync(dumps).toSorted()).toEqual(
    [
      basename(heap),
      'of-an-administrator.json',
      ...written.slice(2).map((path) => basename(path)),
    ].toSorted(),
  );
  expect([mode(dumps), mode(heap)]).toEqual([0o700, 0o600]);
  expect(await dumpsOf(state, 'state')).toEqual(written.slice(2).toReversed());
  expect([await dumpsOf(state, 'heap', 1), await dumpsOf(state, 'heap', 9)]).toEqual([[heap], []]);
});

it('a state directory that does not exist yet is not created', async () => {
  const state = join(directory, 'later');
  const dump = { text: '', nowNs: second(0), pid: 1 };
  await expect(writeDump(state, 'state', dump)).rejects.toThrow('does not exist yet');
  expect(await dumpsOf(state, 'state')).toEqual([]);
  expect(readdirSync(directory)).not.toContain('later');
});
