import { mkdtempSync, readFileSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Resizes } from '../../../../src/cri/streaming/command-channels.ts';
import { ConsoleSocket, firstSize } from '../../../../src/oci/runtime/exec/stream-console.ts';
import { fxOf } from '../../../support/fx.ts';
import { HandClock } from '../../../support/hand-clock.ts';

test('S34: the socket for a terminal is a file in a directory of its own, for root alone, and never an abstract name', async () => {
  const parent = mkdtempSync(join(tmpdir(), 'troupe-console-'));
  const directory = join(parent, 'tty');
  try {
    const socket = await ConsoleSocket.listen(directory, 'x');
    // an abstract name has no file, and every container on the host's network could connect to it (CVE-2020-15257)
    const names = readFileSync('/proc/net/unix', 'utf8')
      .split('\n')
      .map((line) => line.split(/\s+/u)[7] ?? '')
      .filter((name) => name.includes(parent));
    expect(names).toEqual([join(directory, 'x')]);
    expect(statSync(directory).mode & 0o777).toBe(0o700);
    await socket.close();
    expect(readdirSync(directory)).toEqual([]);
  } finally {
    rmSync(parent, { recursive: true, force: true });
  }
});

test('the first size of a terminal is the last one that the client has sent by then', async () => {
  const resizes = new Resizes();
  resizes.push(Buffer.from('{"Width":81,"Height":25}{"Width":80,"Height":24}'));
  const onResize = resizes.onResize.bind(resizes);
  const client = { stdin: undefined, stdout: undefined, stderr: undefined, onResize };
  expect(await firstSize(new HandClock(), client, fxOf())).toEqual({ columns: 80, rows: 24 });
});
