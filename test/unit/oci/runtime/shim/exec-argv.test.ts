import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { silentLog } from '../../../../../src/base/log.ts';
import { realClock } from '../../../../../src/host/clock/clock.ts';
import type { DriverParts } from '../../../../../src/oci/runtime/container/parts.ts';
import { ExecDeadline } from '../../../../../src/oci/runtime/exec/deadline.ts';
import { runExec } from '../../../../../src/oci/runtime/shim/exec.ts';
import type { ExecRequest } from '../../../../../src/oci/runtime/shim/exec.ts';
import type { Shims } from '../../../../../src/oci/runtime/shim/shims.ts';
import { containerId } from '../../../cri/stage.ts';
import { fxOf } from '../../../../support/fx.ts';
import { ownIdentity } from '../../../../support/own-identity.ts';

/** stdout and stderr, of which nothing comes. */
const OUTPUTS: Omit<ExecRequest, 'input' | 'deadline'> = {
  terminal: {},
  stdio: { stdin: false, stdout: true, stderr: true },
  open: () => undefined,
  drained: () => Promise.resolve(),
  close: () => undefined,
};

test('S78 the command line of an exec in a shim is freed once the shim has it, before its process runs', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'troupe-shim-argv-'));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  const id = containerId('c');
  const hex = 'c'.repeat(64);
  const configJson = join(directory, 'config.json');
  await writeFile(configJson, JSON.stringify({ process: { cwd: '/' } }));
  const note = {
    version: 1,
    sandboxId: hex,
    handler: 'vm',
    cgroup: `/troupe-${hex}`,
    monitorCgroup: `/troupe-sandbox-${hex}/monitors`,
  };
  await writeFile(join(directory, 'troupe.json'), JSON.stringify(note));
  const layout = { configJson: () => configJson, containerDir: () => directory };
  const parts = Object.assign({} as DriverParts, { layout, clock: realClock(), log: silentLog });
  const argv = ['sh', '-c', 'x'.repeat(1000)];
  const seen: unknown[] = [];
  const shim = {
    call: (
      method: { readonly name: string },
      message: { readonly spec?: { readonly value: Uint8Array } },
    ) => {
      if (method.name !== 'Exec') return Promise.reject(new Error('as far as this'));
      const { args } = JSON.parse(Buffer.from(message.spec?.value ?? []).toString()) as {
        readonly args: unknown;
      };
      // what the shim was sent, and what is left here while it answers
      seen.push(args, [...argv]);
      return Promise.resolve({});
    },
    callUnlessGone: () => Promise.resolve(undefined),
  };
  const shims = { need: () => Promise.resolve(shim) } as object as Shims;
  const init = ownIdentity();
  const input = Object.assign({} as ExecRequest['input'], {
    id,
    handler: 'vm',
    init,
    argv,
    onArgvRead: () => (argv.length = 0),
  });
  const fx = fxOf();
  const deadline = new ExecDeadline({ clock: parts.clock, id, fx, limitMs: 0 });
  const request: ExecRequest = { input, deadline, ...OUTPUTS };
  await expect(
    runExec({ parts, shims, stdioProgram: () => Promise.resolve('') }, request, fx),
  ).rejects.toThrow('as far as this');
  expect(seen).toEqual([['sh', '-c', 'x'.repeat(1000)], []]);
  expect((await readdir(directory)).toSorted()).toEqual(['config.json', 'troupe.json']);
});
