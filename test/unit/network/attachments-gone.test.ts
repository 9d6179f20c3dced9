// DEL where the pod's interface or its namespace is gone.
import { afterEach, describe, expect, it } from 'vitest';
import { Attachments } from '../../../src/network/attachments.ts';
import { Firewall } from '../../../src/network/firewall.ts';
import type { Answer, FakePlugins, Seen } from './fake-plugins.ts';
import { faultOf } from '../../support/fault-of.ts';
import { fakePlugins, pluginFailure } from './fake-plugins.ts';
import type { World } from './attachments-world.ts';
import { context, good, id, inNetns, netns, network, noGuess, worldOf } from './attachments-world.ts';

let plugins: FakePlugins;
afterEach(() => plugins.close());

function world(answer: (seen: Seen) => Answer | Promise<Answer>, net = network()): World {
  plugins = fakePlugins(answer);
  return worldOf(plugins, net);
}

describe('DEL of a plugin that fails where the interface is gone', () => {
  const lost = 'failed to find "eth0" in containerNS: Link not found';
  /** One DEL of the chain, whose second plugin fails with these words wherever it is given a namespace. */
  async function delOf(words: string, hasInterface: () => Promise<boolean>, without?: string) {
    const { cache, attachment } = world((seen) => {
      const said = seen.env['CNI_NETNS'] === '' ? without : words;
      return seen.command === 'DEL' && seen.tool === 'two' && said !== undefined
        ? pluginFailure(999, said)
        : good(seen);
    });
    const { runTool } = plugins;
    const attachments = new Attachments(runTool, cache, new Firewall(runTool, []), hasInterface);
    await attachments.add(attachment, netns, context);
    plugins.seen.length = 0;
    const deleted = await faultOf(attachments.del(id, inNetns, context, noGuess)).catch(() => undefined);
    return { deleted, order: plugins.seen.map(({ tool, env }) => `${tool} ${env['CNI_NETNS']}`), cache };
  }

  it('F52: is run without the namespace, so that a repeated DEL succeeds (host-device)', async () => {
    const { order, cache, deleted } = await delOf(lost, () => Promise.resolve(false));
    expect(deleted).toBeUndefined();
    expect(order).toEqual([`three ${netns}`, `two ${netns}`, 'two ', `one ${netns}`]);
    expect(await cache.list()).toEqual([]);
  });

  it('F52: one that needs a namespace has nothing left to delete (sbr of Debian 12)', async () => {
    const { order, cache, deleted } = await delOf(
      lost,
      () => Promise.resolve(false),
      'no such file or directory',
    );
    expect(deleted).toBeUndefined();
    expect(order).toEqual([`three ${netns}`, `two ${netns}`, 'two ', `one ${netns}`]);
    expect(await cache.list()).toEqual([]);
  });

  it('F53: stays pending where another file is missing', async () => {
    const socket = 'dial unix /run/agent.sock: connect: no such file or directory';
    const { cache, deleted } = await delOf(lost, () => Promise.resolve(false), socket);
    expect(deleted?.message).toContain(socket);
    expect(await cache.list()).toEqual([id]);
  });

  it.each([
    ['the interface is there', lost, () => Promise.resolve(true)],
    ['the namespace can not be read', lost, () => Promise.reject(new Error('EIO'))],
    ['the reason is another one', 'connection refused', () => Promise.resolve(false)],
  ])('F53: stays pending while %s', async (_title, words, hasInterface) => {
    const { order, cache, deleted } = await delOf(words, hasInterface);
    expect(deleted?.message).toContain(words);
    expect(order).toEqual([`three ${netns}`, `two ${netns}`, `one ${netns}`]);
    expect(await cache.list()).toEqual([id]);
  });
});

it('F57: a plugin that needs a namespace and has an address to free keeps the pod', async () => {
  const ipam = { type: 'host-local' };
  const { attachments, attachment, cache } = world(
    (seen) =>
      seen.command === 'DEL' && seen.tool === 'one'
        ? pluginFailure(999, 'no such file or directory')
        : good(seen),
    network({ plugins: [{ type: 'one', ipam }, { type: 'two' }, { type: 'three' }] }),
  );
  await attachments.add(attachment, netns, context);
  await faultOf(attachments.del(id, async () => '', context, noGuess));
  expect(await cache.list()).toEqual([id]);
});

it.each([
  [
    'F57: a plugin that needs a namespace does not keep a pod whose namespace is gone',
    'no such file or directory',
    [],
  ],
  ['F57: another missing file does', 'open /run/agent.db: no such file or directory', [id]],
])('%s', async (_title, words, left) => {
  const { attachments, attachment, cache } = world((seen) =>
    seen.command === 'DEL' && seen.tool === 'two' ? pluginFailure(999, words) : good(seen),
  );
  await attachments.add(attachment, netns, context);
  await attachments.del(id, async () => '', context, noGuess).catch(() => undefined);
  expect(await cache.list()).toEqual(left);
});
