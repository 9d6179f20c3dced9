import { mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { collectGarbage, networkProblem } from '../../../src/network/attachments.ts';
import { networkLimits } from '../../../src/network/bounds.ts';
import type { Network } from '../../../src/network/conflist.ts';
import type { Answer, FakePlugins, Seen } from './fake-plugins.ts';
import { faultOf } from '../../support/fault-of.ts';
import { fakePlugins, pluginFailure, result } from './fake-plugins.ts';
import type { World } from './attachments-world.ts';
import { context, good, id, inNetns, netns, network, noGuess, worldOf } from './attachments-world.ts';

let plugins: FakePlugins;
afterEach(() => plugins.close());

function world(answer: (seen: Seen) => Answer, net: Network = network()): World {
  plugins = fakePlugins(answer);
  return worldOf(plugins, net);
}

describe('ADD', () => {
  it('runs the chain in order, each with the result before it, and only declared values', async () => {
    const { attachments, attachment } = world(good);
    expect(await attachments.add(attachment, netns, context)).toEqual(['10.0.0.5']);
    expect(plugins.order()).toEqual(['ADD one', 'ADD two', 'ADD three']);
    expect(plugins.seen.map(({ stdin }) => (stdin['prevResult'] as { by?: string } | undefined)?.by)).toEqual(
      [undefined, 'one', 'two'],
    );
    expect(plugins.seen.map(({ stdin }) => 'runtimeConfig' in stdin)).toEqual([false, true, false]);
    expect(plugins.seen.map(({ timeoutMs }) => timeoutMs)).toEqual([60_000, 59_999, 59_998]);
  });

  it('F55: records the pending DEL before the first plugin runs, private to root', async () => {
    const duties: string[][] = [];
    const { attachments, attachment, cacheDir } = world((seen) => {
      duties.push(readdirSync(join(plugins.dir, 'cache')));
      return good(seen);
    });
    await attachments.add(attachment, netns, context);
    expect(duties[0]).toEqual([`${id}.json`]);
    expect(statSync(join(cacheDir, `${id}.json`)).mode & 0o777).toBe(0o600);
    expect(readdirSync(cacheDir)).toEqual([`${id}.json`, `${id}.result`]);
  });

  it('returns the same result again after a success, without running a plugin', async () => {
    const { attachments, attachment } = world(good);
    await attachments.add(attachment, netns, context);
    plugins.seen.length = 0;
    expect(await attachments.add(attachment, netns, context)).toEqual(['10.0.0.5']);
    expect(plugins.seen).toEqual([]);
  });

  it('refuses a second ADD after a failed one until DEL has succeeded', async () => {
    let broken = true;
    const { attachments, attachment } = world((seen) =>
      broken && seen.command === 'ADD' ? pluginFailure(7, 'no') : good(seen),
    );
    await faultOf(attachments.add(attachment, netns, context));
    broken = false;
    expect((await faultOf(attachments.add(attachment, netns, context))).kind).toBe('wrongState');
    await attachments.del(id, inNetns, context, noGuess);
    expect(await attachments.add(attachment, netns, context)).toEqual(['10.0.0.5']);
  });

  it('converts a result of another version for the next plugin', async () => {
    const old = JSON.stringify({ cniVersion: '0.4.0', ips: [{ version: '4', address: '10.0.0.5/24' }] });
    const { attachments, attachment } = world(({ command, tool }) =>
      command === 'ADD' && tool === 'one' ? { stdout: old } : { stdout: result('10.0.0.6') },
    );
    await attachments.add(attachment, netns, context);
    expect(plugins.seen[1]?.stdin['prevResult']).toMatchObject({
      cniVersion: '1.0.0',
      ips: [{ address: '10.0.0.5/24' }],
    });
  });

  it.each(['', 'garbage', '{}', JSON.stringify({ cniVersion: '1.0.0', ips: [{ address: '10.0.0.5' }] })])(
    'F54: publishes nothing of the last result %j and leaves the DEL pending',
    async (stdout) => {
      const { attachments, attachment, cache } = world((seen) =>
        seen.tool === 'three' ? { stdout } : good(seen),
      );
      const fault = await faultOf(attachments.add(attachment, netns, context));
      expect(fault).toMatchObject({ kind: 'outside' });
      expect(fault.message).toContain('invalid result');
      expect(await cache.list()).toEqual([id]);
      expect((await cache.readResult(id))?.complete).toBe(false);
    },
  );

  it('F89: a file in the place of the directory is an error; unfinished entries in it are deleted, directories, too', async () => {
    const { attachments, attachment, cache, cacheDir } = world(good);
    await attachments.add(attachment, netns, context);
    mkdirSync(join(cacheDir, '.x.json.new', 'below'), { recursive: true });
    writeFileSync(join(cacheDir, '.y.json.new'), '');
    await cache.tidy();
    expect(readdirSync(cacheDir).toSorted()).toEqual([`${id}.json`, `${id}.result`]);
    rmSync(cacheDir, { recursive: true });
    expect(await cache.list()).toEqual([]);
    writeFileSync(cacheDir, '');
    await expect(cache.list()).rejects.toThrow('list network attachments');
  });

  it('fails without a network namespace before anything is kept', async () => {
    const { attachments, attachment, cache } = world(good);
    expect((await faultOf(attachments.add(attachment, '', context))).message).toContain(
      'its network namespace is gone',
    );
    expect(await cache.list()).toEqual([]);
  });

  it('has one deadline for the chain', async () => {
    const { attachments, attachment } = world((seen) => ({ ...good(seen), durationMs: 700 }));
    const fault = await faultOf(attachments.add(attachment, netns, { timeoutMs: 1000 }));
    expect(fault).toMatchObject({
      kind: 'timedOut',
      message: expect.stringContaining('plugin three: no time left of 1000 ms'),
    });
    expect(plugins.seen.map(({ timeoutMs }) => timeoutMs)).toEqual([1000, 300]);
  });
});

describe('probes of a network', () => {
  const versions = (list: string[]) => ({
    stdout: JSON.stringify({ cniVersion: '1.1.0', supportedVersions: list }),
  });
  const call = () => ({ runTool: plugins.runTool, pluginDirs: [plugins.dir], timeoutMs: 1000 });

  it('report which plugin is absent, too old, or not available', async () => {
    world((seen) => (seen.command === 'VERSION' ? versions(['0.4.0', '1.0.0']) : {}));
    expect(await networkProblem(network(), call())).toBe('');
    expect(plugins.order()).toEqual(['VERSION one', 'VERSION two', 'VERSION three']);
    expect(plugins.seen[0]?.env['CNI_CONTAINERID']).toBe('');
    expect(await networkProblem(network({ cniVersion: '1.1.0' }), call())).toBe(
      "CNI VERSION in network net: plugin one: supports 0.4.0, 1.0.0, the network's configuration has 1.1.0",
    );
    expect(await networkProblem(network({ plugins: [{ type: 'four' }] }), call())).toContain(
      'plugin four: executable not found',
    );
    plugins.close();
    world((seen) => (seen.command === 'VERSION' ? versions(['1.1.0']) : pluginFailure(50, 'no daemon')));
    expect(await networkProblem(network({ cniVersion: '1.1.0' }), call())).toBe(
      'CNI STATUS in network net: plugin one: error 50: no daemon',
    );
  });

  it('collect garbage from 1.1.0 on, in all plugins though one fails, unless disabled', async () => {
    world((seen) => (seen.tool === 'one' ? pluginFailure(100, 'no') : {}));
    const valid = () => Promise.resolve([{ id, ifName: 'eth0' }]);
    const gate = { alone: (_attempted: string, _signal: unknown, work: () => Promise<void>) => work() };
    const gc = (net: Network) => collectGarbage(net, { ...call(), timeoutMs: 60_000, valid, gate });
    await gc(network());
    await gc(network({ cniVersion: '1.1.0', disableGC: true }));
    expect(plugins.seen).toEqual([]);
    const fault = await faultOf(gc(network({ cniVersion: '1.1.0' })));
    expect(fault.message).toBe('CNI GC in network net: plugin one: error 100: no');
    expect(plugins.order()).toEqual(['GC one', 'GC two', 'GC three']);
    expect(plugins.seen.map(({ timeoutMs }) => timeoutMs)).toEqual(
      [1, 2, 3].map(() => networkLimits.gcPluginMs),
    );
    expect(plugins.seen[2]?.stdin['cni.dev/valid-attachments']).toEqual([
      { containerID: id, ifname: 'eth0' },
    ]);
    expect(plugins.seen[2]?.stdin['cni.dev/attachments']).toEqual([{ containerID: id, ifname: 'eth0' }]);
  });

  it('collect no garbage where the valid attachments can not be listed', async () => {
    world(() => ({}));
    const valid = () => Promise.reject(new Error('EIO'));
    const gate = { alone: (_attempted: string, _signal: unknown, work: () => Promise<void>) => work() };
    await expect(
      collectGarbage(network({ cniVersion: '1.1.0' }), { ...call(), valid, gate }),
    ).rejects.toThrow('EIO');
    expect(plugins.seen).toEqual([]);
  });
});
