/** Starting a scope, with a program in the place of busctl: the real one is asked in the guest of `npm run test:vm`. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ClockPort } from '../../../src/ports/clock.ts';
import { realClock } from '../../../src/host/clock/clock.ts';
import { createSystemd } from '../../../src/host/cgroups/systemd.ts';

let directory = '';
let child: ChildProcess;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'troupe-systemd-'));
  child = spawn('sleep', ['1000'], { stdio: 'ignore' });
});
afterEach(async () => {
  child.kill('SIGKILL');
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  rmSync(directory, { recursive: true });
});

const scope = `/a.slice/troupe-${'e'.repeat(64)}.scope`;
const pid = (): number => child.pid ?? 0;

function busctl(...lines: readonly string[]): string {
  const path = join(directory, 'busctl');
  writeFileSync(path, ['#!/bin/sh', ...lines, ''].join('\n'));
  chmodSync(path, 0o755);
  return path;
}

/** The real clock, but whoever reads it for the deadline is always past that. */
function hurried(): ClockPort {
  const clock = realClock();
  let now = clock.monoMs();
  return { ...clock, monoMs: () => (now += 6_000) };
}

describe('a scope', () => {
  it('is requested once, and its process is awaited in it', async () => {
    const asked = join(directory, 'asked');
    const systemd = createSystemd({ clock: hurried(), busctl: busctl(`printf '%s\\n' "$@" >${asked}`) });
    await expect(systemd.startScope(scope, pid())).rejects.toMatchObject({ fault: { kind: 'timedOut' } });
    expect(readFileSync(asked, 'utf8').split('\n')).toEqual(
      expect.arrayContaining([
        'StartTransientUnit',
        `troupe-${'e'.repeat(64)}.scope`,
        'a.slice',
        String(pid()),
      ]),
    );
  });

  it('that systemd refuses is reported in systemd’s words', async () => {
    const systemd = createSystemd({
      clock: realClock(),
      busctl: busctl('echo "Call failed: Unit is masked" >&2', 'exit 1'),
    });
    await expect(systemd.startScope(scope, pid())).rejects.toThrow(
      /start scope troupe-e+\.scope with process \d+: Call failed: Unit is masked/u,
    );
  });

  it('is no failure when its process has ended: the sync pipe has the reason', async () => {
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
    await createSystemd({
      clock: realClock(),
      busctl: busctl('echo "No such process" >&2', 'exit 1'),
    }).startScope(scope, pid());
    await createSystemd({ clock: realClock(), busctl: busctl('exit 0') }).startScope(scope, pid());
  });
});
