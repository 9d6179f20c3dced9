// The short form of `npm run soak`, with a kill of the daemon or two.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { describePods } from '../support/crictl.ts';
import { readRecord } from './record.ts';
import { soak } from './soak.ts';
import { restDifferences } from './verdict.ts';

describePods('soak', () => {
  let directory: string;
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), 'troupe-soak-'));
  });
  afterAll(() => rmSync(directory, { recursive: true }));

  test('I16 I17: half a minute of mixed load: no call fails without a kill beside it, machine and actors are as before, nothing is left', async () => {
    const file = join(directory, 'samples');
    await soak({ minutes: 0.5, pods: 4, file, onWorld: () => undefined });
    const { samples, end } = readRecord(file);
    expect(samples.length).toBeGreaterThan(0);
    if (end === undefined) throw new Error('the soak has no end');
    const { findings, check, leftovers } = end;
    const changed = restDifferences(end.before, end.after);
    expect({ findings, changed, check, leftovers }).toEqual({
      findings: [],
      changed: [],
      check: '',
      leftovers: [],
    });
  });
});
