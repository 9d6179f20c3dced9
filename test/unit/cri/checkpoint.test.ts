// What the requests for checkpoints are translated to, and what of a checkpoint's word is held against a request.
import { describe, expect, it } from 'vitest';
import { noCheckpoints } from '../../../src/ports/checkpoint.ts';
import type { CheckpointFacts } from '../../../src/ports/checkpoint.ts';
import type { ImageRecord } from '../../../src/ports/specs.ts';
import { RuntimeService } from '../../../src/gen/runtime/v1/api_pb.ts';
import { containerId, containerView, hex, image, sandboxId, sandboxView, stage } from './stage.ts';
import { fail } from '../../../src/base/fault.ts';
import { fxOf } from '../../support/fx.ts';

const { checkpointContainer, checkpointPod, createContainer, restorePod } = RuntimeService.method;
const pod = hex('a');
const id = hex('c');

const peopled = () => {
  const made = stage();
  made.put(sandboxView(sandboxId('a')), containerView(containerId('c')));
  return made;
};

describe('CheckpointContainer', () => {
  it('passes on the archive and the timeout in ms', async () => {
    const { asked, send } = peopled();
    await send(checkpointContainer, { containerId: id.slice(0, 8), location: '/var/c.tar', timeout: 7n });
    expect(asked).toEqual([['checkpointContainer', { id, archive: '/var/c.tar' }, 7000]]);
  });

  it('refuses an invalid path for the archive, a negative timeout, and an unknown container', async () => {
    const { fails } = peopled();
    for (const location of ['', 'c.tar', '/var/', '/var/../c.tar', '/var/\0'])
      expect((await fails(checkpointContainer, { containerId: id, location })).code).toBe('invalidArgument');
    expect(
      (await fails(checkpointContainer, { containerId: id, location: '/c.tar', timeout: -1n })).code,
    ).toBe('invalidArgument');
    expect((await fails(checkpointContainer, { containerId: hex('d'), location: '/c.tar' })).code).toBe(
      'notFound',
    );
  });

  it('says what Kubernetes’ suites know a runtime without checkpoints by, and why', async () => {
    const { fails, put } = stage({
      checkpointContainer: async () => fail('unsupported', 'CheckpointContainer c: checkpoints are off'),
    });
    put(sandboxView(sandboxId('a')), containerView(containerId('c')));
    expect(await fails(checkpointContainer, { containerId: id, location: '/c.tar' })).toEqual({
      code: 'unimplemented',
      message: 'unknown method CheckpointContainer on this node: CheckpointContainer c: checkpoints are off',
    });
  });

  it('is off by default, with the reason', async () => {
    const fx = fxOf();
    await expect(
      noCheckpoints.checkpoint({ attempted: 'CheckpointContainer c', containers: [] }, fx),
    ).rejects.toMatchObject({
      fault: {
        kind: 'unsupported',
        message: 'CheckpointContainer c: checkpoints are off: the configuration names no CRIU (runtime.criu)',
      },
    });
  });
});

describe('CheckpointPod', () => {
  it("names each archive after its container, in the caller's directory", async () => {
    const { asked, send } = peopled();
    await send(checkpointPod, { podSandboxId: pod, outputPath: '/var/pod', containerIds: [id] });
    expect(asked).toEqual([
      ['checkpointSandbox', pod, { directory: '/var/pod', wanted: [{ id, archive: '/var/pod/main.tar' }] }],
    ]);
  });

  it('refuses unknown options, the same container twice, no container, and a name that is a path', async () => {
    const { fails, put } = peopled();
    const view = containerView(containerId('e'));
    put({ ...view, spec: { ...view.spec, key: { ...view.spec.key, name: '../x' } } });
    const request = { podSandboxId: pod, outputPath: '/var/pod', containerIds: [id] };
    const wrong = [
      { options: { a: 'b' } },
      { containerIds: [id, id] },
      { containerIds: [] },
      { containerIds: [hex('e')] },
      { outputPath: 'pod' },
    ];
    for (const more of wrong)
      expect((await fails(checkpointPod, { ...request, ...more })).code, JSON.stringify(more)).toBe(
        'invalidArgument',
      );
    expect((await fails(checkpointPod, { ...request, podSandboxId: hex('f') })).code).toBe('notFound');
  });
});

/** A pod, images by name, and what a checkpoint says. */
function restoring(facts: Partial<CheckpointFacts> = {}, images: Readonly<Record<string, ImageRecord>> = {}) {
  const made = stage({
    findImage: (name) => ({ busybox: image('1'), ...images })[name],
    describeCheckpoint: (wanted) => {
      described.push(wanted);
      return Promise.resolve({
        digest: 'sha256:d',
        images: ['gone', 'busybox'],
        mounts: [],
        tty: false,
        ...facts,
      });
    },
  });
  const described: unknown[] = [];
  made.put(sandboxView(sandboxId('a')));
  return { ...made, described };
}

const restoreOf = (asked: readonly (readonly unknown[])[]): unknown =>
  asked.find(([what]) => what === 'createContainer')?.[1];

describe('CreateContainer', () => {
  const request = (name: string, more: object = {}) => ({
    podSandboxId: pod,
    config: { metadata: { name: 'main' }, image: { image: name }, ...more },
  });
  const checkpoint = (layers: number): ImageRecord => {
    const plain = image('9');
    return {
      ...plain,
      sources: [{ repoDigest: plain.repoDigests[0] ?? '', repoTags: plain.repoTags, checkpointOf: 'main' }],
      layers: Array.from({ length: layers }, () => plain.layers[0]).filter((layer) => layer !== undefined),
    };
  };

  it('a path in the image’s place is an archive, whose image is the first present one', async () => {
    const { asked, described, send } = restoring();
    await send(createContainer, request('/var/c.tar'));
    expect(described).toEqual([
      { attempted: 'CreateContainer from /var/c.tar', sandboxId: pod, from: { archive: '/var/c.tar' } },
    ]);
    expect(restoreOf(asked)).toMatchObject({
      imageId: image('1').id,
      imageRequested: '/var/c.tar',
      restore: { from: { archive: '/var/c.tar' }, digest: 'sha256:d' },
    });
  });

  it('an image that is a checkpoint is restored from its one layer; one with several is refused', async () => {
    const { asked, send } = restoring({}, { saved: checkpoint(1) });
    await send(createContainer, request('saved'));
    expect(restoreOf(asked)).toMatchObject({
      imageId: image('1').id,
      restore: { from: { image: image('9').id, layer: image('9').layers[0]?.diffId } },
    });
    expect(
      (await restoring({}, { saved: checkpoint(2) }).fails(createContainer, request('saved'))).code,
    ).toBe('invalidArgument');
  });

  it('S86 another’s manifest of the image makes no checkpoint of it, nor does its id: the pod’s own reference counts', async () => {
    const plain = image('9');
    const sources = [
      { repoDigest: 'evil.example/x@sha256:0', repoTags: ['evil.example/x:1'], checkpointOf: 'main' },
      { repoDigest: plain.repoDigests[0] ?? '', repoTags: plain.repoTags },
    ];
    const shared = { ...plain, sources };
    const asked: string[] = [];
    const made = stage({
      findImage: (name) => ({ busybox: image('1') })[name] ?? shared,
      sourceOf: (one, reference) => {
        asked.push(reference);
        return one.sources?.find(({ repoTags }) => repoTags.includes(reference));
      },
    });
    made.put(sandboxView(sandboxId('a')));
    const create = async (name: string, userSpecifiedImage = ''): Promise<boolean> => {
      made.asked.length = 0;
      await made
        .send(createContainer, {
          podSandboxId: pod,
          config: { metadata: { name: 'main' }, image: { image: name, userSpecifiedImage } },
        })
        .catch(() => undefined);
      return made.asked.some(([what]) => what === 'describeCheckpoint');
    };
    expect(await create(plain.id, 'docker.io/library/busybox:latest')).toBe(false);
    expect(await create(plain.id)).toBe(false);
    expect(await create(plain.id, 'evil.example/x:1')).toBe(true);
    expect(await create('evil.example/x:1')).toBe(true);
    expect(asked).toEqual([
      'docker.io/library/busybox:latest',
      plain.id,
      'evil.example/x:1',
      'evil.example/x:1',
    ]);
  });

  it('S86 where `runtime.restore` is off no annotation of an image is read', async () => {
    const made = stage({ findImage: () => checkpoint(2) }, { restoresCheckpoints: false });
    made.put(sandboxView(sandboxId('a')));
    await made.send(createContainer, request('saved'));
    expect(made.asked.map(([what]) => what)).toEqual(['createContainer']);
    expect(restoreOf(made.asked)).not.toHaveProperty('restore');
  });

  it('an ordinary image is not read for a checkpoint', async () => {
    const { asked, described, send } = restoring();
    await send(createContainer, request('busybox'));
    expect(described).toEqual([]);
    expect(restoreOf(asked)).not.toHaveProperty('restore');
  });

  it('S08: mounts of the checkpoint that the request lacks are refused, and none is taken over', async () => {
    const facts = { mounts: ['/etc/hosts', '/dev/shm', '/data', '/cache'] };
    const { asked, fails, send } = restoring(facts);
    const mounts = [{ containerPath: '/data/', hostPath: '/srv' }];
    const refusal = await fails(createContainer, request('/c.tar', { mounts }));
    expect(refusal.code).toBe('invalidArgument');
    expect(refusal.message).toContain('missing mounts of the checkpoint: "/cache"');
    expect(restoreOf(asked)).toBeUndefined();
    await send(
      createContainer,
      request('/c.tar', { mounts: [...mounts, { containerPath: '/cache', hostPath: '/srv' }] }),
    );
    expect(restoreOf(asked)).toMatchObject({
      mounts: [
        { containerPath: '/data/', hostPath: '/srv' },
        { containerPath: '/cache', hostPath: '/srv' },
      ],
    });
  });

  it('S08: a terminal setting other than the checkpoint’s, a path with .., and a missing image are refused', async () => {
    expect((await restoring({ tty: true }).fails(createContainer, request('/c.tar'))).code).toBe(
      'invalidArgument',
    );
    expect((await restoring().fails(createContainer, request('/var/../c.tar'))).code).toBe('invalidArgument');
    expect(
      (await restoring({ images: ['gone', 'other'] }).fails(createContainer, request('/c.tar'))).code,
    ).toBe('notFound');
  });
});

describe('RestorePod', () => {
  const container = (name: string, from = 'busybox') => ({ metadata: { name }, image: { image: from } });
  const request = (...containerConfigs: object[]) => ({
    checkpointPath: '/var/pod',
    config: { metadata: { name: 'p', namespace: 'n', uid: 'u' } },
    containerConfigs,
  });

  it('makes the pod and each container from its archive, of the image that the request names', async () => {
    const { asked, described, send } = restoring();
    const { podSandboxId, restoredContainers } = await send(
      restorePod,
      request(container('a'), container('b')),
    );
    expect(podSandboxId).toBe(pod);
    expect(restoredContainers.map(({ name }) => name)).toEqual(['a', 'b']);
    expect(described).toMatchObject([
      { from: { archive: '/var/pod/a.tar' } },
      { from: { archive: '/var/pod/b.tar' } },
    ]);
    expect(restoreOf(asked)).toMatchObject({
      imageRequested: 'busybox',
      restore: { from: { archive: '/var/pod/a.tar' } },
    });
  });

  it('removes the pod again when a container can’t be made, for example for an image that is not the checkpoint’s', async () => {
    const { asked, fails } = restoring({}, { other: image('2') });
    expect((await fails(restorePod, request(container('a'), container('b', 'other')))).code).toBe(
      'invalidArgument',
    );
    expect(asked.at(-1)).toEqual(['removeSandbox', pod]);
  });

  it('I13 a call that fails leaves a pod that was there before it', async () => {
    const { asked, fails } = restoring({}, { other: image('2') });
    const { spec } = sandboxView(sandboxId('a'));
    await fails(restorePod, { ...request(container('a', 'other')), config: { metadata: spec.key } });
    expect(asked.map(([what]) => what)).toContain('runSandbox');
    expect(asked.map(([what]) => what)).not.toContain('removeSandbox');
  });

  it('I13 of two calls for one pod the one that fails leaves what the other one was answered with', async () => {
    const { asked, fails, send } = restoring({}, { other: image('2') });
    const both = [container('a'), container('b'), container('c', 'other')];
    const [whole] = await Promise.all([
      send(restorePod, request(container('a'))),
      fails(restorePod, request(...both)),
    ]);
    expect(whole.podSandboxId).toBe(pod);
    expect(asked.map(([what]) => what)).not.toContain('removeSandbox');
  });

  it('I13 of two calls for one pod only the last one that fails removes it', async () => {
    const { asked, fails } = restoring({}, { other: image('2') });
    const failing = request(container('a', 'other'));
    await Promise.all([fails(restorePod, failing), fails(restorePod, failing)]);
    expect(asked.filter(([what]) => what === 'removeSandbox')).toEqual([['removeSandbox', pod]]);
  });

  it('refuses invalid requests before it makes anything', async () => {
    const { asked, fails } = restoring();
    const wrong = [
      request(),
      request(container('a'), container('a')),
      request(container('../a')),
      { ...request(container('a')), options: { fast: '1' } },
      { ...request(container('a')), checkpointPath: 'pod' },
    ];
    for (const one of wrong) expect((await fails(restorePod, one)).code).toBe('invalidArgument');
    expect(asked).toEqual([]);
  });
});
