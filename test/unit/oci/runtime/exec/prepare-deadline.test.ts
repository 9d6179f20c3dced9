// A runtime that was replaced is probed before an exec in a container with the short seccomp form.
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, expect, onTestFinished, test } from 'vitest';
import { silentLog } from '../../../../../src/base/log.ts';
import { realClock } from '../../../../../src/host/clock/clock.ts';
import type { ClientStreams } from '../../../../../src/ports/streams.ts';
import type { DriverParts } from '../../../../../src/oci/runtime/container/parts.ts';
import { execSync } from '../../../../../src/oci/runtime/exec/exec.ts';
import type { ExecInput } from '../../../../../src/oci/runtime/exec/exec.ts';
import { streamExec } from '../../../../../src/oci/runtime/exec/stream-exec.ts';
import { OUTER_FILTER_VERSION } from '../../../../../src/oci/runtime/spec/outer-filter.ts';
import { containerId } from '../../../cri/stage.ts';
import { fxOf } from '../../../../support/fx.ts';
import { ownIdentity } from '../../../../support/own-identity.ts';

let directory: string;
let parts: DriverParts;
let probes: AbortController;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'troupe-probed-'));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  const configJson = join(directory, 'config.json');
  await writeFile(configJson, JSON.stringify({ troupeShortSeccomp: OUTER_FILTER_VERSION }));
  probes = new AbortController();
  parts = Object.assign({} as DriverParts, {
    clock: realClock(),
    log: silentLog,
    layout: { configJson: () => configJson, containerDir: () => directory },
    table: { resolve: () => ({ name: 'runc', path: '/', root: directory }) },
    // a probe that hangs
    whyNotShort: () => {
      probes.abort();
      return Promise.withResolvers<string>().promise;
    },
  });
});

function input(execTimeoutMs: number): ExecInput & { readonly tty: boolean } {
  return Object.assign({} as ExecInput, {
    id: containerId('c'),
    handler: 'runc',
    namespace: 'default',
    init: ownIdentity(),
    argv: ['true'],
    tty: false,
    execTimeoutMs,
  });
}

test('ExecSync waits for the probe no longer than its timeout', async () => {
  await expect(execSync(parts, input(20), fxOf())).rejects.toThrow(/timed out after 20 ms .* the runtime$/u);
  expect(await readdir(directory)).toEqual(['config.json']);
});

test('ExecSync and Exec do not wait for the probe once they are aborted', async () => {
  const fx = { ...fxOf(), signal: probes.signal };
  await expect(execSync(parts, input(0), fx)).rejects.toThrow(/cancelled while waiting for the runtime$/u);
  await expect(streamExec(parts, input(0), {} as ClientStreams, fx)).rejects.toThrow(/^exec in container /u);
  expect(await readdir(directory)).toEqual(['config.json']);
});

test('Exec waits for the probe no longer than its own bound', async () => {
  const fx = { ...fxOf(), timeoutMs: 20 };
  await expect(streamExec(parts, input(0), {} as ClientStreams, fx)).rejects.toThrow(
    /timed out after 20 ms .* the runtime$/u,
  );
});
