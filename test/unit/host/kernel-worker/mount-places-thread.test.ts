import { constants } from 'node:os';
import { describe, expect, test } from 'vitest';
import { hostLimits } from '../../../../src/host/bounds.ts';
import type { FoundPlace } from '../../../../src/host/kernel-thread/thread-protocol.ts';
import { MountScan, type MountCalls } from '../../../../src/host/kernel-worker/mount-places-thread.ts';

/** A kernel with these mounts, by id: mount point and type. It notes which ids are asked for. */
function kernelWith(mounts: Map<number, readonly [mountPoint: string, fsType: string]>) {
  const asked: number[] = [];
  const refused = { calls: new Set<keyof MountCalls>(), errno: constants.errno.ENOSYS };
  const answer = (result: number, errno = 0) => ({ result, errno });
  const calls: MountCalls = {
    list: (after, into) => {
      if (refused.calls.has('list')) return answer(-1, refused.errno);
      const ids = [...mounts.keys()].filter((id) => id > after).toSorted((a, b) => a - b);
      const some = ids.slice(0, into.length / 8);
      some.forEach((id, at) => into.writeBigUInt64LE(BigInt(id), at * 8));
      return answer(some.length);
    },
    stat: (id, into) => {
      asked.push(id);
      if (refused.calls.has('stat')) return answer(-1, refused.errno);
      const [mountPoint, fsType] = mounts.get(id) ?? ['', ''];
      if (mountPoint === '') return answer(-1, constants.errno.ENOENT);
      into.fill(0);
      into.writeUInt32LE(0, 36);
      into.writeUInt32LE(fsType.length + 1, 108);
      into.write(`${fsType}\0${mountPoint}\0`, 512);
      return answer(0);
    },
  };
  const scan = new MountScan(calls);
  return {
    scan,
    refused,
    mounts,
    asked: () => asked.splice(0),
  };
}

function foundBy(scan: MountScan): readonly FoundPlace[] {
  const change = scan.read();
  return 'found' in change ? change.found : [];
}

const FIRST = 2 ** 33;
const usual = () =>
  new Map<number, readonly [string, string]>([
    [FIRST, ['/', 'ext4']],
    [FIRST + 1, ['/proc', 'proc']],
  ]);

describe('a scan of the mounts', () => {
  test('gives all of them first, then what has changed, and asks for nothing else', () => {
    const { scan, mounts, asked } = kernelWith(usual());
    expect(scan.read()).toEqual({
      isWhole: true,
      gone: [],
      found: [
        { id: FIRST, mountPoint: '/', fsType: 'ext4' },
        { id: FIRST + 1, mountPoint: '/proc', fsType: 'proc' },
      ],
    });
    asked();
    expect(scan.read()).toEqual({ isWhole: false, gone: [], found: [] });
    mounts.delete(FIRST + 1);
    mounts.set(FIRST + 7, ['/data', 'xfs']);
    expect(scan.read()).toEqual({
      isWhole: false,
      gone: [FIRST + 1],
      found: [{ id: FIRST + 7, mountPoint: '/data', fsType: 'xfs' }],
    });
    expect(asked()).toEqual([FIRST + 7]);
  });

  test('notices a removal beside a mount that goes between the two calls', () => {
    const { scan, mounts } = kernelWith(usual());
    scan.read();
    mounts.delete(FIRST + 1);
    // listed, but no longer there when it is asked for
    mounts.set(FIRST + 4, ['', '']);
    expect(scan.read()).toEqual({ isWhole: false, gone: [FIRST + 1], found: [] });
  });

  test('finds a mount with an older id than others, made before and attached later', () => {
    const { scan, mounts } = kernelWith(usual());
    mounts.set(FIRST + 9, ['/late', 'tmpfs']);
    scan.read();
    mounts.set(FIRST + 5, ['/early', 'nfs4']);
    expect(foundBy(scan)).toEqual([{ id: FIRST + 5, mountPoint: '/early', fsType: 'nfs4' }]);
  });

  test('asks again for each that may not answer, and for what is on top of it', () => {
    const { scan, mounts, asked } = kernelWith(usual());
    mounts.set(FIRST + 2, ['/srv', 'nfs4']);
    mounts.set(FIRST + 3, ['/srv', 'tmpfs']);
    scan.read();
    asked();
    // both moved
    mounts.set(FIRST + 2, ['/mnt', 'nfs4']);
    mounts.set(FIRST + 3, ['/elsewhere', 'tmpfs']);
    expect(scan.read()).toEqual({
      isWhole: false,
      gone: [],
      found: [
        { id: FIRST + 2, mountPoint: '/mnt', fsType: 'nfs4' },
        { id: FIRST + 3, mountPoint: '/elsewhere', fsType: 'tmpfs' },
      ],
    });
    expect(asked()).toEqual([FIRST + 2, FIRST + 3]);
  });

  test('gives more mounts than one call lists', () => {
    const many = new Map(
      Array.from({ length: 10_000 }, (_, at) => [FIRST + at, [`/m/${at}`, 'tmpfs'] as const] as const),
    );
    expect(foundBy(kernelWith(many).scan)).toHaveLength(10_000);
  });

  test('leaves out a mount that goes between the two calls', () => {
    const { scan, mounts } = kernelWith(usual());
    mounts.set(FIRST + 2, ['', '']);
    expect(foundBy(scan)).toHaveLength(2);
    mounts.delete(FIRST + 2);
    expect(scan.read()).toEqual({ isWhole: false, gone: [], found: [] });
  });

  test.each([
    ['list', 'ENOSYS', {}],
    ['list', 'EPERM', { refusal: 'listmount: EPERM' }],
    ['stat', 'EPERM', { refusal: `statmount of mount ${FIRST + 2}: EPERM` }],
    ['stat', 'EOVERFLOW', { refusal: `statmount of mount ${FIRST + 2}: EOVERFLOW` }],
  ] as const)('fails where %s gives %s, and whole once it does not', (call, errno, expected) => {
    const { scan, mounts, refused } = kernelWith(usual());
    scan.read();
    mounts.set(FIRST + 2, ['/data', 'xfs']);
    refused.calls.add(call);
    refused.errno = constants.errno[errno];
    expect(scan.read()).toEqual(expected);
    refused.calls.clear();
    expect(scan.read()).toMatchObject({ isWhole: true, found: { length: 3 } });
  });

  test('is tried ever less often while it is refused, and at once after it was not', () => {
    const { scan, mounts, refused, asked } = kernelWith(usual());
    refused.calls.add('stat');
    const triedIn = (readings: number): number[] =>
      Array.from({ length: readings }, (_, at) => (scan.read(), asked().length > 0 ? [at] : [])).flat();
    expect(triedIn(16)).toEqual([0, 1, 3, 6, 11]);
    expect(triedIn(1000).length).toBeGreaterThan(1000 / (hostLimits.mountCallsRetried + 1) - 1);
    refused.calls.clear();
    expect(triedIn(hostLimits.mountCallsRetried + 1).length).toBe(1);
    mounts.set(FIRST + 2, ['/data', 'xfs']);
    expect(scan.read()).toMatchObject({ isWhole: false, found: { length: 1 } });
    refused.calls.add('stat');
    mounts.set(FIRST + 3, ['/more', 'xfs']);
    expect(triedIn(2)).toEqual([0, 1]);
  });
});
