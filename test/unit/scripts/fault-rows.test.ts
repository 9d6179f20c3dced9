// What tests declare to inject, what they recorded, and the table of both.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  declaredFaults,
  faultRows,
  faultSummary,
  faultTable,
  namesOfTests,
  neverHappened,
} from '../../../scripts/support/fault-rows.ts';
import { injects } from '../../support/faults/injects.ts';
import { beginRecord, forgetTests, readRecords, recordHappened } from '../../support/faults/records.ts';
import { parsedSource } from '../../tidy/support/sources.ts';

// of a record of this file: the real one is begun again after each test
const HERE = 'test/unit/scripts/fault-rows.test.ts';
const recordsModule = join(import.meta.dirname, '../../support/faults/records.ts');

describe('the record of faults that happened', () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'troupe-faults-'));
  });
  afterEach(() => {
    rmSync(directory, { recursive: true, force: true });
    beginRecord(HERE);
  });
  const one = { row: 'F921', what: 'the disk is full', times: 1 };

  it('is read back by file; a file that is run again begins its own anew', () => {
    beginRecord('test/a.test.ts', directory);
    recordHappened(one);
    recordHappened({ ...one, times: 3 });
    beginRecord('test/b.test.ts', directory);
    recordHappened(one);
    expect(readRecords(directory)).toEqual(
      new Map([
        ['test/a.test.ts', [one, { ...one, times: 3 }]],
        ['test/b.test.ts', [one]],
      ]),
    );
    beginRecord(join(import.meta.dirname, '../../a.test.ts'), directory);
    expect([...readRecords(directory).keys()]).toEqual(['test/b.test.ts']);
  });

  it('takes what a program that the test started reports', () => {
    beginRecord('test/a.test.ts', directory);
    const script = `import { recordHappened } from ${JSON.stringify(recordsModule)}; recordHappened(${JSON.stringify(one)});`;
    expect(spawnSync(process.execPath, ['--input-type=module', '--eval', script]).status).toBe(0);
    expect(readRecords(directory)).toEqual(new Map([['test/a.test.ts', [one]]]));
  });

  it('of tests goes before a whole run, that of a long command stays', () => {
    for (const file of ['test/a.test.ts', 'test/sim/main.ts']) {
      beginRecord(file, directory);
      recordHappened(one);
    }
    forgetTests(directory);
    expect([...readRecords(directory).keys()]).toEqual(['test/sim/main.ts']);
  });

  it('takes no fault that did not happen', () => {
    beginRecord('test/a.test.ts', directory);
    // a name of its own, so that no declaration is found here
    const declare = injects;
    const fault = declare('F921', 'the disk is full');
    expect(() => fault.happened(0)).toThrow('F921: the fault never happened: the disk is full');
    expect(readRecords(directory)).toEqual(new Map());
    fault.happened();
    expect(readRecords(directory)).toEqual(new Map([['test/a.test.ts', [one]]]));
  });
});

describe('the table of fault rows', () => {
  const source = parsedSource(
    'test/a.test.ts',
    `const full = injects('F921', 'the disk is full');
    const { happened } = injects('F920', \`no literal\`);
    other('F919', 'x');`,
  );
  const declared = [
    { row: 'F921', what: 'the disk is full', file: 'test/a.test.ts' },
    { row: 'F921', what: 'the disk is full', file: 'test/b.test.ts' },
    { row: 'F922', what: 'a | b', file: 'test/b.test.ts' },
  ];
  const records = new Map([
    ['test/a.test.ts', [{ row: 'F921', what: 'the disk is full', times: 2 }]],
    [
      'test/b.test.ts',
      [
        { row: 'F921', what: 'the disk is full', times: 1 },
        { row: 'F923', what: 'declared no more', times: 9 },
      ],
    ],
  ]);
  const rows = faultRows(['F921', 'F922', 'F923', 'F924'], {
    texts: 'F921 and F922, F923',
    declared,
    records,
  });

  it('finds the declarations in the sources', () => {
    expect(declaredFaults([source])).toEqual([
      { row: 'F921', what: 'the disk is full', file: 'test/a.test.ts' },
      { row: 'F920', what: '', file: 'test/a.test.ts' },
    ]);
  });

  it('finds the names of tests, and no other text', () => {
    const names = parsedSource(
      'test/a.test.ts',
      `it('F920 by name', () => { expect(x).toBe('F915 in an answer'); });
      it(\`F918 \${n} by template\`, async () => {});
      unless(it, reason)('F917 through another function', function () {});
      it.each([['F914 in a table', 1], ['no code, F913', 2]])('%s', () => {});
      injects('F916', 'a fault');
      other('F912', value);`,
    );
    expect(namesOfTests([names])).toEqual([
      'F920 by name',
      'F918 ',
      ' by template',
      'F917 through another function',
      'F914 in a table',
      '%s',
    ]);
  });

  it('adds up what happened; a row is covered by a fault that happened, not by a name', () => {
    expect(rows).toEqual([
      { row: 'F921', isNamed: true, faults: [{ what: 'the disk is full', times: 3 }] },
      { row: 'F922', isNamed: true, faults: [{ what: 'a | b', times: 0 }] },
      { row: 'F923', isNamed: true, faults: [] },
      { row: 'F924', isNamed: false, faults: [] },
    ]);
    expect(faultSummary(rows)).toBe(
      'fault rows: 4; named 3, fault declared 2, fault happened 1; 1 of 2 declared faults never happened',
    );
    expect(neverHappened(rows)).toEqual(['F922 a | b']);
    expect(faultTable(rows)).toBe(`| row | fault that a test declares | happened, times |
|---|---|---|
| F921 | the disk is full | 3 |
| F922 | a \\| b | never |
| F923 | named by a test, no fault declared | |
| F924 | no test | |`);
  });
});
