import { readFileSync, readdirSync } from 'node:fs';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { realClock } from '../../../../../src/host/clock/clock.ts';
import type { ClientStreams, StreamExecInput } from '../../../../../src/ports/streams.ts';
import type { DriverParts } from '../../../../../src/oci/runtime/container/parts.ts';
import { streamExec } from '../../../../../src/oci/runtime/exec/stream-exec.ts';
import { containerId } from '../../../cri/stage.ts';
import { fxOf } from '../../../../support/fx.ts';
import { ownIdentity } from '../../../../support/own-identity.ts';

test('S78 the command line of an exec is freed once its description is written, before its process runs', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'troupe-argv-'));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  const configJson = join(directory, 'config.json');
  await writeFile(configJson, JSON.stringify({ process: { cwd: '/' } }));
  let written: unknown;
  const parts = Object.assign({} as DriverParts, {
    clock: realClock(),
    layout: { configJson: () => configJson, containerDir: () => directory },
    table: {
      resolve: () => ({ name: 'runc', path: '/', root: directory }),
      // asked next, before anything runs: far enough for this test
      canExecInCgroup: () => {
        throw new Error('as far as this');
      },
    },
  });
  const argv = ['sh', '-c', 'x'.repeat(1000)];
  const onArgvRead = (): void => {
    const name = readdirSync(directory).find((one) => one.startsWith('exec-')) ?? '';
    written = (JSON.parse(readFileSync(join(directory, name, 'process.json'), 'utf8')) as { args: unknown })
      .args;
    argv.length = 0;
  };
  const init = ownIdentity();
  const input = Object.assign({} as StreamExecInput, {
    id: containerId('c'),
    handler: 'runc',
    init,
    argv,
    tty: false,
    onArgvRead,
  });
  await expect(streamExec(parts, input, {} as ClientStreams, fxOf())).rejects.toThrow('as far as this');
  expect([written, argv]).toEqual([['sh', '-c', 'x'.repeat(1000)], []]);
  expect(await readdir(directory)).toEqual(['config.json']);
});
