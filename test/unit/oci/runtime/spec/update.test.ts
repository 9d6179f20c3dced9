import { describe, expect, it } from 'vitest';
import { NO_LIMITS } from '../../../../../src/ports/resources.ts';
import type { Resources } from '../../../../../src/ports/specs.ts';
import { scopeLimits } from '../../../../../src/oci/runtime/container/update.ts';
import { updateDocument } from '../../../../../src/oci/runtime/spec/update.ts';
import { host } from './fixtures.ts';

const MIB = 1024n * 1024n;

describe('the document of an update', () => {
  it('has all limits, also unchanged ones', () => {
    const limits: Resources = {
      ...NO_LIMITS,
      cpuShares: 512n,
      cpuQuota: 20_000n,
      cpuPeriod: 100_000n,
      cpusetCpus: '0',
      memoryLimitBytes: 64n * MIB,
    };
    expect(updateDocument(limits, limits, { ...host, swapLimits: true })).toEqual({
      cpu: { shares: 512n, quota: 20_000n, period: 100_000n, cpus: '0' },
      memory: { limit: 64n * MIB, swap: 64n * MIB },
    });
    expect(updateDocument(limits, NO_LIMITS, { ...host, swapLimits: false })).toMatchObject({
      memory: { limit: 64n * MIB },
    });
  });

  it('F09: resets limits that are to be unset, in the kernel’s values', () => {
    const set: Resources = {
      ...NO_LIMITS,
      cpuShares: 512n,
      cpuQuota: 20_000n,
      cpuPeriod: 50_000n,
      memoryLimitBytes: 64n * MIB,
    };
    expect(updateDocument(NO_LIMITS, set, { ...host, swapLimits: true })).toEqual({
      cpu: { shares: 1024n, quota: -1n, period: 100_000n },
      memory: { limit: -1n, swap: -1n },
    });
  });

  it('lifts a quota that was set without a period: a period says which, where the runtime writes both in one file', () => {
    const quota = { ...NO_LIMITS, cpuQuota: 50_000n };
    expect(updateDocument({ ...NO_LIMITS, cpuQuota: -1n }, quota, host).cpu).toEqual({
      quota: -1n,
      period: 100_000n,
    });
    expect(updateDocument(quota, NO_LIMITS, host).cpu).toEqual({ quota: 50_000n });
  });

  it('gives the scope the shares, and the default where they are to be unset', () => {
    const set = { ...NO_LIMITS, cpuShares: 512n, unified: { 'memory.min': '4096' } };
    expect(scopeLimits(set, NO_LIMITS)).toEqual({ cpuShares: 512n, unified: { 'memory.min': '4096' } });
    expect(scopeLimits(NO_LIMITS, set)).toEqual({ cpuShares: 1024n, unified: {} });
    expect(scopeLimits(NO_LIMITS, NO_LIMITS)).toEqual({ cpuShares: undefined, unified: {} });
  });

  it('refuses impossible limits', () => {
    expect(() => updateDocument({ ...NO_LIMITS, memoryLimitBytes: 1n }, NO_LIMITS, host)).toThrow(
      'limit memory to 1 bytes',
    );
    expect(() =>
      updateDocument(
        { ...NO_LIMITS, memoryLimitBytes: 64n * MIB, memorySwapLimitBytes: 32n * MIB },
        NO_LIMITS,
        host,
      ),
    ).toThrow('limit memory and swap');
  });
});
