import { describe, expect, it } from 'vitest';
import type { ImageId } from '../../../../../../src/base/ids.ts';
import { specLimits } from '../../../../../../src/oci/runtime/bounds.ts';
import { KnownUsers, type UserRequest } from '../../../../../../src/oci/runtime/bundle/host/known-users.ts';

const request = (image: string, more: Partial<UserRequest['choice']> = {}): UserRequest => ({
  imageId: `sha256:${image}` as ImageId,
  imageUser: 'web',
  choice: {
    runAsUser: undefined,
    runAsUsername: '',
    runAsGroup: undefined,
    supplementalGroups: [],
    supplementalGroupsPolicy: 'merge',
    ...more,
  },
});

/** Resolves and counts how often it is asked. */
function resolver(uid: number, groups = 1) {
  const asked = { times: 0 };
  const resolve = async () => {
    asked.times += 1;
    return Promise.resolve({ uid, gid: 0, home: '/', additionalGids: Array<number>(groups).fill(0) });
  };
  return { asked, resolve };
}

describe('users of images that are known', () => {
  it('are resolved once for the same image and request', async () => {
    const users = new KnownUsers();
    const { asked, resolve } = resolver(5);
    expect((await users.of(request('a'), resolve)).uid).toBe(5);
    expect((await users.of(request('a'), resolve)).uid).toBe(5);
    expect(asked.times).toBe(1);
  });

  it('are others for another image, user or group', async () => {
    const users = new KnownUsers();
    const { asked, resolve } = resolver(5);
    const requests = [
      request('a'),
      request('b'),
      { ...request('a'), imageUser: 'db' },
      request('a', { runAsUser: 7 }),
      request('a', { runAsUsername: '7' }),
      request('a', { runAsGroup: 7 }),
      request('a', { supplementalGroups: [7] }),
      request('a', { supplementalGroupsPolicy: 'strict' }),
    ];
    for (const one of requests) await users.of(one, resolve);
    expect(asked.times).toBe(requests.length);
  });

  it('a failure is not kept', async () => {
    const users = new KnownUsers();
    await expect(users.of(request('a'), () => Promise.reject(new Error('EIO')))).rejects.toThrow('EIO');
    expect((await users.of(request('a'), resolver(5).resolve)).uid).toBe(5);
  });

  it('S10: a user of many groups is not kept, nor more users than the bound', async () => {
    const users = new KnownUsers();
    const many = resolver(5, specLimits.knownUserGroups + 1);
    await users.of(request('a'), many.resolve);
    await users.of(request('a'), many.resolve);
    expect(many.asked.times).toBe(2);
    const { asked, resolve } = resolver(5);
    for (let n = 0; n <= specLimits.knownUsers; n += 1) await users.of(request(`i${n}`), resolve);
    await users.of(request('i0'), resolve);
    expect(asked.times).toBe(specLimits.knownUsers + 2);
  });
});
