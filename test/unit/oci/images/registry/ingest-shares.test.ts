// Who may keep how much of what is downloaded.
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Digest } from '../../../../../src/base/ids.ts';
import { hostLimits } from '../../../../../src/host/bounds.ts';
import { ingestLimits } from '../../../../../src/oci/images/bounds.ts';
import { silentLog } from '../../../../../src/base/log.ts';
import type { FilesystemFacts } from '../../../../../src/host/files/free-space.ts';
import { inPool } from '../../../../../src/host/ffi/pool.ts';
import { Ingests } from '../../../../../src/oci/images/registry/ingest.ts';

const MIB = 1024 * 1024;
const digest = (at: number): Digest => `sha256:${String(at).padStart(64, '0')}` as Digest;
const LARGE: FilesystemFacts = { bsize: 4096, blocks: 1e9, bavail: 1e9, files: 0, ffree: 0 };

let directory = '';
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'troupe-ingest-'));
});
afterEach(() => rm(directory, { recursive: true }));

const ingests = (facts: () => FilesystemFacts = () => LARGE): Ingests =>
  new Ingests({
    directory,
    log: silentLog,
    leastBytes: 1,
    mostBytes: 16 * MIB,
    bytesPerNamespace: 12 * MIB,
    facts: async () => facts(),
  });
const incoming = (at: number, size: number, namespace: string) => ({
  digest: digest(at),
  size,
  source: 'registry',
  namespace,
});

describe('S90 kept downloads', () => {
  it('of one namespace leave room for those of another, under way or interrupted', async () => {
    const here = ingests();
    const first = await here.open(incoming(1, 8 * MIB, 'tenant'));
    // the one that is under way counts with its size, whatever came of it
    expect(await here.open(incoming(2, 5 * MIB, 'tenant'))).toBeUndefined();
    await first?.write(Buffer.alloc(MIB));
    await first?.close();
    const second = await here.open(incoming(2, 11 * MIB, 'tenant'));
    expect(second).toBeDefined();
    expect(await here.open(incoming(3, MIB, 'tenant'))).toBeUndefined();
    const victim = await here.open(incoming(3, 4 * MIB, 'victim'));
    expect(victim).toBeDefined();
    await second?.close();
    await victim?.close();
  });

  it('are bounded together with those under way', async () => {
    const here = ingests();
    const all = await Promise.all([1, 2, 3].map((at) => here.open(incoming(at, 8 * MIB, `n${at}`))));
    expect(all.filter((one) => one !== undefined).length).toBeLessThanOrEqual(2);
    for (const one of all) await one?.close();
  });
});

describe('F22 kept downloads', () => {
  const free = (bytes: number): FilesystemFacts => ({ ...LARGE, bavail: bytes / 4096 });

  it('are not begun where they would use the least free space', async () => {
    const room = ingestLimits.roomFactor * MIB;
    const least = hostLimits.leastFreeBytes;
    expect(await ingests(() => free(least + room - 4096)).open(incoming(1, MIB, 'a'))).toBeUndefined();
    const kept = await ingests(() => free(least + room)).open(incoming(1, MIB, 'a'));
    expect(kept).toBeDefined();
    await kept?.close();
  });

  it('are aborted and deleted where others have filled the disk meanwhile', async () => {
    let now = LARGE;
    const kept = await ingests(() => now).open(incoming(1, 10 * MIB, 'a'));
    now = free(MIB);
    for (let at = 0; at < 4; at += 1) await kept?.write(Buffer.alloc(ingestLimits.batchBytes));
    await kept?.close();
    expect(await readdir(directory)).toEqual([]);
  });

  it('do not count other programs’ files for any namespace', async () => {
    await writeFile(join(directory, 'other'), Buffer.alloc(MIB));
    const kept = await ingests().open(incoming(1, 12 * MIB, 'a'));
    expect(kept).toBeDefined();
    await kept?.close();
  });
});

describe('F33 F60 kept downloads on a disk that does not answer', () => {
  it('use a bounded number of pool threads to read its free space', async () => {
    const answer = Promise.withResolvers<FilesystemFacts>();
    let asked = 0;
    let most = 0;
    const options = { directory, log: silentLog, leastBytes: 1 };
    const here = new Ingests({
      ...options,
      facts: async () => {
        asked += 1;
        most = Math.max(most, asked);
        const facts = await answer.promise;
        asked -= 1;
        return facts;
      },
    });
    const count = 2 * hostLimits.poolCallsPerKey;
    const all = Array.from({ length: count }, (_, at) => here.open(incoming(at, 1, `n${at}`)));
    await expect.poll(() => most).toBeGreaterThanOrEqual(hostLimits.poolCallsPerKey);
    answer.resolve(LARGE);
    for (const one of await Promise.all(all)) await one?.close();
    expect(most).toBe(hostLimits.poolCallsPerKey);
  });

  it('wait for their share of threads before they touch it', async () => {
    const own = join(directory, 'own');
    const answer = Promise.withResolvers<void>();
    const hung = Array.from({ length: hostLimits.poolCallsPerKey }, () => inPool(own, () => answer.promise));
    const here = new Ingests({ directory: own, log: silentLog, leastBytes: 1, facts: async () => LARGE });
    const opening = here.open(incoming(1, 1, 'n'));
    // calls that come after one that did not wait
    for (let turn = 0; turn < 8; turn += 1) await stat(directory);
    expect(existsSync(own)).toBe(false);
    answer.resolve();
    await Promise.all(hung);
    await (await opening)?.close();
    expect(existsSync(own)).toBe(true);
  });
});
