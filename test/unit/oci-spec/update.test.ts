import { describe, expect, it } from 'vitest';
import type { Resources } from '../../../src/actors/ports/specs.ts';
import { updateDocument } from '../../../src/oci/runtime/spec/update.ts';
import { container, host } from './fixtures.ts';

const none: Resources = {
  ...container.resources, cpuPeriod: undefined, cpuQuota: undefined, cpuShares: undefined, memoryLimitBytes: undefined,
  memorySwapLimitBytes: undefined, cpusetCpus: '', cpusetMems: '', hugepageLimits: [], unified: {},
};
const MIB = 1024n * 1024n;

describe('the document of an update', () => {
  it('names all limits, also those that stay', () => {
    const limits: Resources = { ...none, cpuShares: 512n, cpuQuota: 20_000n, cpuPeriod: 100_000n, cpusetCpus: '0', memoryLimitBytes: 64n * MIB };
    expect(updateDocument(limits, limits, { ...host, swapLimits: true })).toEqual({
      cpu: { shares: 512n, quota: 20_000n, period: 100_000n, cpus: '0' },
      memory: { limit: 64n * MIB, swap: 64n * MIB },
    });
    expect(updateDocument(limits, none, { ...host, swapLimits: false })).toMatchObject({ memory: { limit: 64n * MIB } });
  });

  it('F09: takes back what was set and is to be unset, in the words of the kernel', () => {
    const set: Resources = { ...none, cpuShares: 512n, cpuQuota: 20_000n, cpuPeriod: 50_000n, memoryLimitBytes: 64n * MIB };
    expect(updateDocument(none, set, { ...host, swapLimits: true })).toEqual({
      cpu: { shares: 1024n, quota: -1n, period: 100_000n },
      memory: { limit: -1n, swap: -1n },
    });
  });

  it('refuses what no container can have', () => {
    expect(() => updateDocument({ ...none, memoryLimitBytes: 1n }, none, host)).toThrow('limit memory to 1 bytes');
    expect(() => updateDocument({ ...none, memoryLimitBytes: 64n * MIB, memorySwapLimitBytes: 32n * MIB }, none, host)).toThrow('limit memory and swap');
  });
});
