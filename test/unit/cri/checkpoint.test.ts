// What the requests for checkpoints are translated to, and that nothing is ever restored.
import { describe, expect, it } from 'vitest';
import { noCheckpoints } from '../../../src/actors/ports/checkpoint.ts';
import { RuntimeService } from '../../../src/gen/runtime/v1/api_pb.ts';
import { containerId, containerView, hex, sandboxId, sandboxView, stage } from './stage.ts';

const { checkpointContainer, checkpointPod, createContainer } = RuntimeService.method;
const pod = hex('a');
const id = hex('c');

const peopled = () => {
  const made = stage();
  made.put(sandboxView(sandboxId('a')), containerView(containerId('c')));
  return made;
};

describe('CheckpointContainer', () => {
  it('hands on the archive and the timeout in ms', async () => {
    const { asked, send } = peopled();
    await send(checkpointContainer, { containerId: id.slice(0, 8), location: '/var/c.tar', timeout: 7n });
    expect(asked).toEqual([['checkpointContainer', { id, archive: '/var/c.tar' }, 7000]]);
  });

  it('refuses what is no place for an archive, a negative timeout, and a container that is not there', async () => {
    const { fails } = peopled();
    for (const location of ['', 'c.tar', '/var/', '/var/../c.tar', '/var/\0']) expect((await fails(checkpointContainer, { containerId: id, location })).code).toBe('invalidArgument');
    expect((await fails(checkpointContainer, { containerId: id, location: '/c.tar', timeout: -1n })).code).toBe('invalidArgument');
    expect((await fails(checkpointContainer, { containerId: hex('d'), location: '/c.tar' })).code).toBe('notFound');
  });

  it('is off unless it is configured, and says so', async () => {
    const fx = { signal: new AbortController().signal, timeoutMs: 1000, note: () => undefined };
    await expect(noCheckpoints.checkpoint({ attempted: 'CheckpointContainer c', containers: [] }, fx)).rejects.toMatchObject({
      fault: { kind: 'unsupported', message: 'CheckpointContainer c: checkpoints are off: the configuration names no CRIU (runtime.criu)' },
    });
  });
});

describe('CheckpointPod', () => {
  it("names each archive after its container, in the caller's directory", async () => {
    const { asked, send } = peopled();
    await send(checkpointPod, { podSandboxId: pod, outputPath: '/var/pod', containerIds: [id] });
    expect(asked).toEqual([['checkpointSandbox', pod, { directory: '/var/pod', wanted: [{ id, archive: '/var/pod/main.tar' }] }]]);
  });

  it('refuses unknown options, the same container twice, none, and a name that is a path', async () => {
    const { fails, put } = peopled();
    const view = containerView(containerId('e'));
    put({ ...view, spec: { ...view.spec, key: { ...view.spec.key, name: '../x' } } });
    const request = { podSandboxId: pod, outputPath: '/var/pod', containerIds: [id] };
    const wrong = [{ options: { a: 'b' } }, { containerIds: [id, id] }, { containerIds: [] }, { containerIds: [hex('e')] }, { outputPath: 'pod' }];
    for (const more of wrong) expect((await fails(checkpointPod, { ...request, ...more })).code, JSON.stringify(more)).toBe('invalidArgument');
    expect((await fails(checkpointPod, { ...request, podSandboxId: hex('f') })).code).toBe('notFound');
  });
});

describe('CreateContainer', () => {
  it('S08: an archive in the place of the image is refused, so that nothing of it decides anything', async () => {
    const { asked, fails, put } = stage();
    put(sandboxView(sandboxId('a')));
    const refusal = await fails(createContainer, { podSandboxId: pod, config: { metadata: { name: 'main' }, image: { image: '/var/c.tar' } } });
    expect(refusal.code).toBe('unimplemented');
    expect(asked).toEqual([]);
  });
});
