// The signature policy decides between manifest and layers, and again before a container is made.
import { describe, expect, it } from 'vitest';
import type { RegistryAuth } from '../../../../src/ports/images.ts';
import type { Mount } from '../../../../src/ports/specs.ts';
import { ledgerFold } from '../../../../src/actors/ledger/ledger.ts';
import type { ImageId } from '../../../../src/base/ids.ts';
import { actorLimits } from '../../../../src/actors/bounds.ts';
import { EasyWorld } from '../easy-ports.ts';
import { turns } from '../../../support/turns.ts';
import { containerSpec, digest, imageRecord, sandboxSpec } from '../fixtures.ts';

describe('a pull', () => {
  const request = (namespace: string) => ({ reference: 'nginx:1', auth: undefined, namespace });

  it('fetches nothing of a refused image, and leaves no record', async () => {
    const world = await EasyWorld.serving();
    world.fail('policy.admit');
    await expect(world.troupe.pullImage(request(''), world.call())).rejects.toMatchObject({
      fault: { message: expect.stringContaining('policy.admit: refused') as string },
    });
    expect(
      world.asked.filter((name) => /^images\.resolve|^policy|fetchLayer|image\.present/u.test(name)),
    ).toEqual(['images.resolve', 'policy.admit']);
  });

  it('is joined under the same policy only', async () => {
    const world = await EasyWorld.serving();
    const go = world.hold('policy.admit');
    const pulls = ['', 'a', 'a', 'b'].map((namespace) =>
      world.troupe.pullImage(request(namespace), world.call()),
    );
    await turns();
    expect(world.count('policy.admit')).toBe(3);
    await go();
    expect(new Set(await Promise.all(pulls)).size).toBe(1);
  });

  it('S90 is not joined by another namespace, even under the same policy, since its layers wait for its own turns', async () => {
    const world = await EasyWorld.serving({}, () => '');
    const go = world.hold('images.resolve');
    const pulls = ['a', 'a', 'b'].map((namespace) =>
      world.troupe.pullImage(request(namespace), world.call()),
    );
    await turns();
    expect(world.count('images.resolve')).toBe(2);
    await go();
    await Promise.all(pulls);
  });

  it('S90 leaves room for other namespaces, however many one has under way', async () => {
    const world = await EasyWorld.serving();
    const go = world.hold('images.resolve');
    const pull = (name: string, namespace: string) =>
      world.troupe
        .pullImage({ reference: `${name}:1`, auth: undefined, namespace }, world.call())
        .catch((thrown: unknown) => thrown);
    const many = Array.from({ length: actorLimits.pullsPerNamespace }, (_, at) => pull(`x${at}`, 'greedy'));
    let oneMore: unknown = 'is not refused';
    void pull('one-more', 'greedy').then((refused) => (oneMore = refused));
    await turns();
    expect(oneMore).toMatchObject({
      fault: { kind: 'exhausted', message: expect.stringContaining('for the namespace "greedy"') as string },
    });
    // what was left for one pull is not used up by one that is refused
    world.asked.length = 0;
    expect(await pull('left-for-another-try', 'greedy')).toMatchObject({ fault: { kind: 'exhausted' } });
    expect(world.asked).not.toContain('images.takeCredentials');
    const other = pull('y', 'modest');
    await go();
    expect(await other).toMatch(/^sha256:/u);
    await Promise.all(many);
  });

  it('S90 with stored credentials is joined, however many pulls the namespace has under way', async () => {
    const world = await EasyWorld.serving();
    world.answers['images.takeCredentials'] = [{ host: 'r.example', repository: 'x', auth: {} }];
    const go = world.hold('images.resolve');
    const pull = (name: string) =>
      world.troupe.pullImage({ reference: `${name}:1`, auth: undefined, namespace: 'busy' }, world.call());
    const many = Array.from({ length: actorLimits.pullsPerNamespace }, (_, at) => pull(`x${at}`));
    await turns();
    const joined = pull('x0');
    await turns();
    expect(world.count('images.resolve')).toBe(actorLimits.pullsPerNamespace);
    await go();
    expect(await joined).toBe(await many[0]);
    await Promise.all(many);
  });

  it('takes what was left for it also when the request brings credentials, and does without what cannot be used', async () => {
    const world = await EasyWorld.serving();
    const none = { auth: '', identityToken: '', registryToken: '', serverAddress: '' };
    const pull = (auth: RegistryAuth | undefined) =>
      world.troupe.pullImage({ reference: 'nginx:1', auth, namespace: 'a' }, world.call());
    const brought = { username: 'u', password: 'p', ...none };
    await pull(brought);
    expect(world.count('images.takeCredentials')).toBe(1);
    world.fail('images.takeCredentials');
    expect(await pull(brought)).toMatch(/^sha256:/u);
    await expect(pull(undefined)).rejects.toMatchObject({
      fault: { message: expect.stringContaining('images.takeCredentials: refused') as string },
    });
  });

  it('ends when all callers leave while the policy is asked', async () => {
    const world = await EasyWorld.serving();
    world.hold('policy.admit');
    const caller = new AbortController();
    const pull = world.troupe.pullImage(request(''), world.call(undefined, caller.signal));
    await turns();
    caller.abort();
    await expect(pull).rejects.toMatchObject({ fault: { kind: 'cancelled' } });
    await turns();
    expect([world.troupe.directory.pulls(), world.count('images.fetchLayer')]).toEqual([[], 0]);
  });
});

describe('a container', () => {
  const volume = imageRecord({
    id: `sha256:${'7'.repeat(64)}` as ImageId,
    repoTags: ['models:1'],
    layers: [{ diffId: digest('7') }],
  });
  const mount: Mount = {
    containerPath: '/a',
    hostPath: '',
    readonly: true,
    recursiveReadOnly: false,
    propagation: 'private',
    selinuxRelabel: false,
    image: { id: volume.id, subPath: '' },
  };

  async function withSandbox(mounts: readonly Mount[] = []) {
    const world = await EasyWorld.serving();
    ledgerFold.apply(world.ledger, { type: 'image.present', image: volume });
    const sandboxId = await world.troupe.runSandbox(sandboxSpec(), world.call());
    world.asked.length = 0;
    const create = () =>
      world.troupe.createContainer(
        containerSpec({ key: { sandboxId, name: 'app', attempt: 0 }, mounts }),
        world.call(),
      );
    return { world, create };
  }

  it('of a refused image is not begun, and the error names the namespace; once accepted it is', async () => {
    const { world, create } = await withSandbox();
    world.fail('policy.admitAgain');
    await expect(create()).rejects.toMatchObject({
      fault: {
        message: expect.stringMatching(/^CreateContainer app .*policy\.admitAgain: refused/u) as string,
      },
    });
    expect([world.asked, world.troupe.directory.containers()]).toEqual([['policy.admitAgain'], []]);
    world.fix('policy.admitAgain');
    expect(await create()).toMatch(/^[0-9a-f]{64}$/u);
  });

  it('has each of its images checked once', async () => {
    const { world, create } = await withSandbox([mount, { ...mount, containerPath: '/b' }]);
    await create();
    expect(world.count('policy.admitAgain')).toBe(2);
  });

  it('two calls for one name that wait for the policy make one container', async () => {
    const { world, create } = await withSandbox();
    const go = world.hold('policy.admitAgain');
    const [one, other] = [create(), create()];
    await turns();
    await go();
    expect(await one).toBe(await other);
    expect(world.count('journal container.intent')).toBe(1);
  });
});
