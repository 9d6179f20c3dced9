// Whether a probe could not find something out, or found that it cannot be.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { realClock } from '../../../../src/host/clock/clock.ts';
import { probeHandler } from '../../../../src/oci/runtime/handler-probe.ts';
import type { ProbeResult } from '../../../../src/oci/runtime/handlers/handlers.ts';
import { unless } from '../../../support/skips/unless.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'troupe-probe-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

const NEW = JSON.stringify({ annotations: { 'io.github.seccomp.libseccomp.version': '2.5.5' } });
const OLD = NEW.replace('2.5.5', '2.5.1');

interface Change {
  readonly features?: string;
  readonly libraries?: Promise<readonly string[] | undefined>;
  readonly standInDir?: string;
}

function probe({ features = `echo '${NEW}'`, ...change }: Change): Promise<ProbeResult> {
  const path = join(directory, 'runc');
  const script = `#!/bin/sh\ncase $1 in --version) echo 'runc version 1.4.3' ;; features) ${features} ;; esac\n`;
  writeFileSync(path, script, { mode: 0o755 });
  // awaited later than it rejects
  change.libraries?.catch(() => undefined);
  return probeHandler(
    { name: 'runc', path, kind: 'oci' },
    {
      clock: realClock(),
      toolPath: '/usr/bin:/bin',
      standInDir: join(directory, 'stand-ins'),
      libraries: Promise.resolve([]),
      ...change,
    },
  );
}

const why = process.arch === 'x64' ? '' : 'a launcher for x64';

unless(test, why)('a program that has all may have the short form', async () => {
  const { shortSeccomp, whyNotShort, isShortUnsure } = await probe({});
  expect([shortSeccomp, whyNotShort, isShortUnsure]).toEqual([true, undefined, undefined]);
});

const CANNOT: readonly [what: string, change: Change, reason: RegExp][] = [
  ['an old libseccomp', { features: `echo '${OLD}'` }, /^it does not report libseccomp/u],
  [
    'a runc without features',
    { features: `echo "No help topic for 'features'" >&2; exit 3` },
    /^it does not report libseccomp/u,
  ],
  ['a script', { libraries: Promise.resolve(undefined) }, /^its libraries are not known/u],
];
unless(test, why).each(CANNOT)('%s cannot have it', async (_what, change, reason) => {
  const { ready, shortSeccomp, whyNotShort, isShortUnsure } = await probe(change);
  expect([ready, shortSeccomp, isShortUnsure]).toEqual([true, false, undefined]);
  expect(whyNotShort).toMatch(reason);
});

const UNSURE: readonly [what: string, change: () => Change, reason: RegExp][] = [
  [
    'features fails',
    () => ({ features: 'echo no memory >&2; exit 1' }),
    /features: exit code 1: no memory$/u,
  ],
  [
    'the libraries cannot be listed',
    () => ({ features: `echo '${OLD}'`, libraries: Promise.reject(new Error('no memory')) }),
    /^no memory$/u,
  ],
  [
    'the launcher cannot be written',
    () => ({ standInDir: join(directory, 'runc', 'stand-ins') }),
    /ENOTDIR|EEXIST/u,
  ],
];
unless(test, why).each(UNSURE)('it is not known when %s', async (_what, change, reason) => {
  const { ready, shortSeccomp, whyNotShort, isShortUnsure } = await probe(change());
  expect([ready, shortSeccomp, isShortUnsure]).toEqual([true, false, true]);
  expect(whyNotShort).toMatch(reason);
});
