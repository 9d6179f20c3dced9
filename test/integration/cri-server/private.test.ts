import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { scratchDirectory } from './harness.ts';
import { skipHere } from '../../support/skips/unless.ts';

// With a umask of 0 a socket bound in an open directory would stand there with mode 0777 until its chmod.
test('S69 only root can reach the socket at any moment: it is bound in a 0700 directory, and 0600 before it is moved out', (context) => {
  const directory = scratchDirectory();
  const trace = join(directory, 'trace');
  const socket = join(directory, 'troupe.sock');
  const calls = 'trace=bind,?mkdir,mkdirat,?chmod,fchmodat,?rename,renameat,renameat2,?link,linkat';
  const run = spawnSync(
    'strace',
    [
      '-f',
      '-qq',
      '-s',
      '256',
      '-e',
      calls,
      '-o',
      trace,
      process.execPath,
      join(import.meta.dirname, 'serve-once.ts'),
      socket,
    ],
    { encoding: 'utf8' },
  );
  const reason = run.error?.message ?? (run.stderr.includes('ptrace') ? run.stderr : undefined);
  if (reason !== undefined) {
    process.stderr.write(`skipped, strace can't be used: ${reason}\n`);
    skipHere(context, reason);
    return;
  }
  expect(run.status, run.stderr).toBe(0);
  const about = readFileSync(trace, 'utf8')
    .split('\n')
    .filter((line) => line.includes('troupe.sock'));
  const privateDirectory = join(directory, '.troupe.sock');
  // pids and numbers of descriptors vary; arm64 has the calls that end in "at" only
  const plain = (line: string): string =>
    line
      .replace(/^\d+ +| += 0$/gu, '')
      .replace(/bind\(\d+/u, 'bind(N')
      .replace(/at2?\(AT_FDCWD/u, '(AT_FDCWD')
      .replaceAll('AT_FDCWD, ', '');
  expect(about.map(plain)).toEqual([
    `mkdir("${privateDirectory}", 0700)`,
    `bind(N, {sa_family=AF_UNIX, sun_path="${privateDirectory}/s"}, 110)`,
    `chmod("${privateDirectory}/s", 0600)`,
    `link("${privateDirectory}/s", "${socket}")`,
  ]);
});
