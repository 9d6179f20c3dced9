// What the second boot finds: pods in every state.
import { afterAll, beforeAll, expect, it } from 'vitest';
import { untilTermed } from '../../e2e/support/pods.ts';
import { Node, remember, startWithImage } from './node.ts';

let node: Node;
beforeAll(async () => {
  const image = await startWithImage();
  await remember('image', image);
  node = new Node(image);
});
afterAll(() => node.close());

it('a pod with containers in every state, and a stopped one, are left for the reboot', async () => {
  const pod = await node.runPod('before');
  const ended = await node.start(pod, 'ended', ['sh', '-c', 'exit 7']);
  expect((await node.ended(ended)).exitCode).toBe(7);
  const created = await node.create(pod, 'created', ['true']);
  const running = await node.start(pod, 'running', untilTermed(0));
  const stopped = await node.runPod('stopped');
  await node.client.runtime.stopPodSandbox({ podSandboxId: stopped.id });
  const { status } = await node.client.runtime.podSandboxStatus({ podSandboxId: pod.id });
  await remember('pods', {
    pod: pod.id,
    stopped: stopped.id,
    ended,
    created,
    running,
    ip: status?.network?.ip ?? '',
  });
});
