// host-local syncs nothing: what a power loss leaves of its leases must not hold addresses for ever.
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { silentLog } from '../../../src/base/log.ts';
import { createNetworkDriver } from '../../../src/network/driver.ts';
import { dropStaleLeases } from '../../../src/network/leases.ts';
import { sandboxId } from './fake-plugins.ts';

let directory: string;
const live = sandboxId('a');
const gone = sandboxId('b');

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'troupe-leases-'));
  mkdirSync(join(directory, 'leases/troupe0'), { recursive: true });
});
afterEach(() => rmSync(directory, { recursive: true }));

function lease(name: string, text: string): string {
  const path = join(directory, 'leases/troupe0', name);
  writeFileSync(path, text);
  return path;
}

it('F94 deletes leases of no attachment and empty ones, and keeps the others', async () => {
  const kept = [
    lease('10.62.0.2', `${live}\r\neth0`),
    lease('fd00::2', `${live}\neth0`),
    lease('last_reserved_ip.0', '10.62.0.3'),
    lease('lock', ''),
  ];
  const stale = [
    lease('10.62.0.3', ''),
    lease('10.62.0.4', `${gone}\r\neth0`),
    lease('10.62.0.5', live.slice(0, 20)),
    lease('fd00::3', ''),
  ];
  expect([...(await dropStaleLeases(join(directory, 'leases'), [live]))].sort()).toEqual([...stale].sort());
  expect(kept.filter((path) => !existsSync(path))).toEqual([]);
  expect(stale.filter((path) => existsSync(path))).toEqual([]);
});

it('F94 does nothing where no address was ever leased', async () => {
  expect(await dropStaleLeases(join(directory, 'none'), [])).toEqual([]);
});

it('F94 the driver deletes them at its start, and keeps that of a stored attachment', async () => {
  const [kept, empty, stale] = [
    lease('10.62.0.2', `${live}\r\neth0`),
    lease('10.62.0.3', ''),
    lease('10.62.0.4', `${gone}\r\neth0`),
  ];
  mkdirSync(join(directory, 'cache'));
  mkdirSync(join(directory, 'net.d'));
  writeFileSync(join(directory, 'cache', `${live}.json`), '{}');
  const driver = createNetworkDriver({
    confDir: join(directory, 'net.d'),
    networkName: '',
    pluginDirs: [],
    cacheDir: join(directory, 'cache'),
    leaseDir: join(directory, 'leases'),
    provenFile: join(directory, 'proven'),
    netnsPath: () => '/proc/self/ns/net',
    runTool: () => Promise.reject(new Error('no plugin is run')),
    clock: { setTimeout: () => 0, clearTimeout: () => undefined, monoMs: () => 0 },
    log: silentLog,
  });
  try {
    await driver.start();
    expect([kept, empty, stale].map((path) => existsSync(path))).toEqual([true, false, false]);
  } finally {
    await driver.stop();
  }
});
