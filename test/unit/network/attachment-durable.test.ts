// What of an attachment is on the disk before the driver goes on.
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, expect, onTestFinished, test, vi } from 'vitest';
import { AttachmentCache } from '../../../src/network/attachment-cache.ts';
import { Attachments } from '../../../src/network/attachments.ts';
import { Firewall } from '../../../src/network/firewall.ts';
import { context, id, inNetns, network, noGuess } from './attachments-world.ts';

// test files share a process: modules loaded before this file keep the real one, those loaded here the mock
vi.hoisted(() => vi.resetModules());
// at once, since nothing runs after a file whose tests are all skipped; and what is loaded later
vi.resetModules();
afterAll(() => vi.resetModules());

const synced = vi.hoisted(() => ({ paths: [] as string[], names: [] as (readonly string[])[] }));

vi.mock('../../../src/host/files/sync-path.ts', () => ({
  syncPath: async (path: string) => {
    synced.paths.push(path);
    synced.names.push(readdirSync(path));
  },
}));

beforeEach(() => {
  synced.paths.length = 0;
  synced.names.length = 0;
});

test('F55 F94: the intent is synced before a plugin runs, and its deletion before DEL is answered', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'troupe-attachments-'));
  onTestFinished(() => rmSync(dir, { recursive: true }));
  const cache = new AttachmentCache(dir);
  await cache.begin({
    id,
    ifName: 'eth0',
    network: network(),
    pluginDirs: ['/opt/cni/bin'],
    cniArgs: '',
    runtimeConfig: {},
  });
  expect(synced.names).toEqual([[`${id}.json`]]);
  await cache.end(id);
  // an earlier deletion may have been interrupted before its sync: the next DEL finds no intent, and syncs
  const runTool = () => Promise.reject(new Error('no plugin runs'));
  const attachments = new Attachments(runTool, cache, new Firewall(runTool, []));
  await attachments.del(id, inNetns, context, noGuess);
  expect(synced.names).toEqual([[`${id}.json`], [], []]);
  expect(new Set(synced.paths)).toEqual(new Set([dir]));
});
