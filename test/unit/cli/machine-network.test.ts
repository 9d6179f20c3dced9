// What CNI plugins keep of an instance, where some of it can't be read.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { seenNetworks } from '../../../src/daemon/cli/machine-network.ts';
import { defaultConfig } from '../../../src/daemon/config-schema.ts';
import { realClock } from '../../../src/host/clock.ts';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'troupe-networks-'));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));
const seen = (): ReturnType<typeof seenNetworks> => {
  const config = { ...defaultConfig, root, network: { ...defaultConfig.network, config_dir: join(root, 'none') } };
  return seenNetworks({ config, clock: realClock() });
};

test('I3 duties that can’t be read are named, and the leases are still found', async () => {
  mkdirSync(join(root, 'cni/leases/n'), { recursive: true });
  writeFileSync(join(root, 'cni/leases/n/10.0.0.2'), `${'a'.repeat(64)}\neth0`);
  writeFileSync(join(root, 'cni/cache'), 'a file');
  const { unread, attachments, leases } = await seen();
  expect(unread).toEqual([{ path: join(root, 'cni/cache'), problem: expect.stringMatching(/^not read: .*ENOTDIR/u) }]);
  expect(attachments).toEqual([]);
  expect(leases.map(({ ip, id }) => [ip, id])).toEqual([['10.0.0.2', 'a'.repeat(64)]]);
});

test('I3 nothing that is missing counts as unread', async () => {
  expect(await seen()).toMatchObject({ unread: [], attachments: [], leases: [] });
});
