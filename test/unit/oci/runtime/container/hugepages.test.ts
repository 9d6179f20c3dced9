// Limits of huge pages in an update: plain files stand for the kernel's.
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { CgroupLayout } from '../../../../../src/host/kernel-thread/thread-protocol.ts';
import { limitHugepages } from '../../../../../src/oci/runtime/container/update.ts';

const MIB = 1024n * 1024n;
const of = (limits: Readonly<Record<string, bigint>>) => ({
  hugepageLimits: Object.entries(limits).map(([pageSize, limitBytes]) => ({ pageSize, limitBytes })),
});

describe('huge pages of a running container', () => {
  let root: string;
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'troupe-hugepages-'));
    mkdirSync(join(root, 'c'));
  });
  afterEach(() => rmSync(root, { recursive: true }));

  const layout = (version: 1 | 2, controllers = ['hugetlb']): CgroupLayout => ({
    version,
    hybrid: false,
    controllers,
    hierarchies: [{ version, mountPoint: root, controllers }],
  });
  const files = (): Record<string, string> =>
    Object.fromEntries(
      readdirSync(join(root, 'c')).map((name) => [name, readFileSync(join(root, 'c', name), 'utf8')]),
    );
  const has = (...names: readonly string[]): void => {
    for (const name of names) writeFileSync(join(root, 'c', name), '');
  };

  it('v2: both limits of a changed size are written; others are not touched', async () => {
    has('hugetlb.2MB.max', 'hugetlb.2MB.rsvd.max', 'hugetlb.1GB.max');
    await limitHugepages(
      layout(2),
      '/c',
      of({ '2MB': 8n * MIB, '1GB': 0n }),
      of({ '2MB': 4n * MIB, '1GB': 0n }),
    );
    expect(files()).toEqual({
      'hugetlb.2MB.max': '8388608',
      'hugetlb.2MB.rsvd.max': '8388608',
      'hugetlb.1GB.max': '',
    });
  });

  it('v1: an older kernel without a limit of reservations works; a size that this machine does not have is skipped', async () => {
    has('hugetlb.2MB.limit_in_bytes');
    await limitHugepages(layout(1), '/c', of({ '2MB': 0n, '64KB': 1n }), of({}));
    expect(files()).toEqual({ 'hugetlb.2MB.limit_in_bytes': '0' });
  });

  it('F09: a size without a limit before has none after the update is undone', async () => {
    has('hugetlb.2MB.max');
    await limitHugepages(layout(2), '/c', of({}), of({ '2MB': 4n * MIB }));
    expect(files()).toEqual({ 'hugetlb.2MB.max': 'max' });
  });

  it('nothing is written without the controller', async () => {
    await limitHugepages(layout(2, ['memory']), '/c', of({ '2MB': 1n }), of({}));
    expect(files()).toEqual({});
  });
});
