// DEL of attachments, and the rules that plugins leave behind.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { AttachmentCache } from '../../../src/network/attachment-cache.ts';
import { Attachments } from '../../../src/network/attachments.ts';
import { networkLimits } from '../../../src/network/bounds.ts';
import type { Network } from '../../../src/network/conflist.ts';
import { parseList } from '../../../src/network/conflist.ts';
import { chainName, Firewall } from '../../../src/network/firewall.ts';
import type { Answer, FakePlugins, Seen } from './fake-plugins.ts';
import { faultOf } from '../../support/fault-of.ts';
import { injects } from '../../support/faults/injects.ts';
import { fakePlugins, pluginFailure, sandboxId } from './fake-plugins.ts';
import type { World } from './attachments-world.ts';
import { context, good, id, inNetns, netns, network, noGuess, worldOf } from './attachments-world.ts';

const bothFail = injects('F52', 'a plugin whose ADD fails, and then its DEL');

let plugins: FakePlugins;
afterEach(() => plugins.close());

function world(answer: (seen: Seen) => Answer | Promise<Answer>, net: Network = network()): World {
  plugins = fakePlugins(answer);
  return worldOf(plugins, net);
}

describe('DEL', () => {
  it('runs the chain in reverse, each with the final result of ADD, and deletes its record last', async () => {
    const left: string[][] = [];
    const { attachments, attachment, cacheDir } = world((seen) => {
      if (seen.command === 'DEL') left.push(readdirSync(join(plugins.dir, 'cache')));
      return good(seen);
    });
    await attachments.add(attachment, netns, context);
    plugins.seen.length = 0;
    await attachments.del(id, inNetns, context, noGuess);
    expect(plugins.order()).toEqual(['DEL three', 'DEL two', 'DEL one']);
    expect(plugins.seen.map(({ stdin }) => (stdin['prevResult'] as { by: string }).by)).toEqual([
      'three',
      'three',
      'three',
    ]);
    expect(plugins.seen.map(({ env }) => env['CNI_NETNS'])).toEqual([netns, netns, netns]);
    expect(left.every((names) => names.length === 2)).toBe(true);
    expect(readdirSync(cacheDir)).toEqual([]);
  });

  it('succeeds without running a plugin when no ADD was begun, and again after a success', async () => {
    const { attachments, attachment } = world(good);
    await attachments.del(id, inNetns, context, noGuess);
    expect(plugins.seen).toEqual([]);
    await attachments.add(attachment, netns, context);
    await attachments.del(id, inNetns, context, noGuess);
    plugins.seen.length = 0;
    await attachments.del(id, inNetns, context, noGuess);
    expect(plugins.seen).toEqual([]);
  });

  it('F57: runs with an empty namespace path', async () => {
    const { attachments, attachment } = world(good);
    await attachments.add(attachment, netns, context);
    plugins.seen.length = 0;
    await attachments.del(id, async () => '', context, noGuess);
    expect(plugins.seen.map(({ env }) => env['CNI_NETNS'])).toEqual(['', '', '']);
  });

  it('F51: after a failure in the chain runs for all of it, with the results of the plugins before', async () => {
    const { attachments, attachment } = world((seen) =>
      seen.command === 'ADD' && seen.tool === 'two' ? pluginFailure(100, 'no') : good(seen),
    );
    const fault = await faultOf(attachments.add(attachment, netns, context));
    expect(fault.message).toBe(`CNI ADD of sandbox ${id} to network net: plugin two: error 100: no`);
    plugins.seen.length = 0;
    await attachments.del(id, inNetns, context, noGuess);
    expect(plugins.order()).toEqual(['DEL three', 'DEL two', 'DEL one']);
    expect(plugins.seen.map(({ stdin }) => (stdin['prevResult'] as { by: string }).by)).toEqual([
      'one',
      'one',
      'one',
    ]);
  });

  it('F51: after a kill of the daemon in the chain gets the results of the plugins before', async () => {
    const reached = Promise.withResolvers<void>();
    const { attachments, attachment } = world((seen) => {
      if (seen.command !== 'ADD' || seen.tool !== 'three') return good(seen);
      reached.resolve();
      // the daemon that waits for it is killed
      return new Promise<never>(() => undefined);
    });
    void attachments.add(attachment, netns, context);
    await reached.promise;
    plugins.seen.length = 0;
    await attachments.del(id, inNetns, context, noGuess);
    expect(plugins.order()).toEqual(['DEL three', 'DEL two', 'DEL one']);
    expect(plugins.seen.map(({ stdin }) => (stdin['prevResult'] as { by: string }).by)).toEqual([
      'two',
      'two',
      'two',
    ]);
  });

  it('F52, F53: a failed DEL stays pending, with all its inputs, until one succeeds', async () => {
    let broken = true;
    const { attachments, attachment, cache } = world((seen) =>
      broken && seen.command === 'DEL' && seen.tool === 'two' ? pluginFailure(11, 'later') : good(seen),
    );
    await attachments.add(attachment, netns, context);
    for (let round = 0; round < 3; round += 1) {
      expect(await faultOf(attachments.del(id, inNetns, context, noGuess))).toMatchObject({
        kind: 'outside',
        retryable: true,
      });
    }
    expect(await cache.list()).toEqual([id]);
    broken = false;
    plugins.seen.length = 0;
    // a new daemon on the same directory keeps the duty
    const again = new AttachmentCache(join(plugins.dir, 'cache'));
    await new Attachments(plugins.runTool, again, new Firewall(plugins.runTool, [])).del(
      id,
      async () => '',
      context,
      noGuess,
    );
    expect(plugins.seen.map(({ stdin }) => (stdin['prevResult'] as { by: string }).by)).toEqual([
      'three',
      'three',
      'three',
    ]);
    expect(await cache.list()).toEqual([]);
  });

  it('F52: after a failed ADD a failed DEL stays pending, too, until one succeeds', async () => {
    let isBroken = true;
    const { attachments, attachment, cache } = world((seen) =>
      isBroken && seen.tool === 'two' ? pluginFailure(11, `no ${seen.command}`) : good(seen),
    );
    expect((await faultOf(attachments.add(attachment, netns, context))).message).toContain('no ADD');
    for (let round = 0; round < 3; round += 1) {
      expect((await faultOf(attachments.del(id, inNetns, context, noGuess))).message).toContain('no DEL');
      bothFail.happened();
      expect(await cache.list()).toEqual([id]);
    }
    isBroken = false;
    plugins.seen.length = 0;
    await attachments.del(id, inNetns, context, noGuess);
    expect(plugins.order()).toEqual(['DEL three', 'DEL two', 'DEL one']);
    expect(await cache.list()).toEqual([]);
  });

  it('S77: a plugin that fails, or whose executable is gone, does not stop others from freeing their resources (containerd/containerd#12130)', async () => {
    const { attachments, attachment, cache } = world((seen) =>
      seen.tool === 'two' ? pluginFailure(999, 'no agent') : good(seen),
    );
    rmSync(join(plugins.dir, 'three'));
    await faultOf(attachments.add(attachment, netns, context));
    plugins.seen.length = 0;
    const { message } = await faultOf(attachments.del(id, inNetns, context, noGuess));
    expect(plugins.order()).toEqual(['DEL two', 'DEL one']);
    expect(message).toMatch(
      /^CNI DEL of sandbox \w+ from network net: plugin three: executable not found in .*; plugin two: error 999: no agent$/u,
    );
    expect(await cache.list()).toEqual([id]);
  });

  it('F50: a hanging plugin leaves time for the others, since some is reserved for each that follows; a slow one may use the rest', async () => {
    const { attachments, attachment } = world((seen) =>
      seen.command === 'DEL' && seen.tool === 'three'
        ? { timedOut: true, durationMs: seen.timeoutMs }
        : good(seen),
    );
    await attachments.add(attachment, netns, context);
    plugins.seen.length = 0;
    expect(await faultOf(attachments.del(id, inNetns, context, noGuess))).toMatchObject({ kind: 'timedOut' });
    expect(plugins.seen.map(({ tool, timeoutMs }) => [tool, timeoutMs])).toEqual([
      ['three', 60_000 - 2 * networkLimits.delKeptMs],
      ['two', networkLimits.delKeptMs],
      ['one', 2 * networkLimits.delKeptMs - 1],
    ]);
  });

  it('F55: uses the configuration and values of ADD, unchanged to the last digit', async () => {
    const net = network({ plugins: [{ type: 'one', big: 'BIG' }] });
    const raw = JSON.stringify(net.plugins[0]?.raw).replace('"BIG"', '12345678901234567890');
    const parsed = parseList(`{"cniVersion":"1.0.0","name":"net","plugins":[${raw}]}`);
    if (!parsed.ok) throw new Error(parsed.reason);
    const { attachments, attachment } = world(good, parsed.network);
    await attachments.add(attachment, netns, context);
    await attachments.del(id, inNetns, context, noGuess);
    expect(plugins.seen[1]?.stdinText).toContain('"big":12345678901234567890');
    expect(plugins.seen[1]?.env['CNI_ARGS']).toBe('IgnoreUnknown=1');
  });

  it('gives no previous result below 0.4.0', async () => {
    const { attachments, attachment } = world(good, network({ cniVersion: '0.3.1' }));
    await attachments.add(attachment, netns, context);
    plugins.seen.length = 0;
    await attachments.del(id, inNetns, context, noGuess);
    expect(plugins.seen.some(({ stdin }) => 'prevResult' in stdin)).toBe(false);
  });

  it('runs without the previous result when that file is torn', async () => {
    const { attachments, attachment, cacheDir } = world(good);
    await attachments.add(attachment, netns, context);
    writeFileSync(join(cacheDir, `${id}.result`), '{"format":1,"comp');
    plugins.seen.length = 0;
    await attachments.del(id, inNetns, context, noGuess);
    expect(plugins.seen.some(({ stdin }) => 'prevResult' in stdin)).toBe(false);
    expect(readdirSync(cacheDir)).toEqual([]);
  });

  it('runs with the current network when its record is damaged, and keeps the record while that fails', async () => {
    let broken = true;
    const { attachments, attachment, cacheDir, cache } = world((seen) =>
      broken && seen.command === 'DEL' ? pluginFailure(11, 'later') : good(seen),
    );
    await attachments.add(attachment, netns, context);
    const file = join(cacheDir, `${id}.json`);
    writeFileSync(file, readFileSync(file, 'utf8').slice(0, 40));
    const guess = () => ({ ...attachment, network: network({ name: 'today', plugins: [{ type: 'two' }] }) });
    await faultOf(attachments.del(id, inNetns, context, guess));
    expect(await cache.list()).toEqual([id]);
    broken = false;
    plugins.seen.length = 0;
    await attachments.del(id, inNetns, context, guess);
    expect(plugins.seen.map(({ stdin }) => stdin['name'])).toEqual(['today']);
    expect(existsSync(file)).toBe(false);
  });

  it('lists pending DELs only', async () => {
    const { attachments, attachment, cacheDir, cache } = world(good);
    expect(await cache.list()).toEqual([]);
    await attachments.add(attachment, netns, context);
    mkdirSync(join(cacheDir, 'x'));
    writeFileSync(join(cacheDir, 'README.json'), '');
    writeFileSync(join(cacheDir, `.${sandboxId('c')}.json.new`), '');
    expect(await cache.list()).toEqual([id]);
  });
});

describe('rules left by plugins', () => {
  const masquerading = () =>
    network({
      plugins: [
        { type: 'one', ipMasq: true },
        { type: 'portmap', capabilities: { portMappings: true } },
      ],
    });

  it('are found after DEL by the names of the chains, and deleted in one transaction', async () => {
    const masq = chainName('net', id);
    const dnat = chainName('net', id, 'DN-');
    const { cache, attachment } = world((seen) => {
      if (seen.argv.includes('-S'))
        return seen.argv.at(-1) === masq
          ? {}
          : { exitCode: 1, stderr: 'iptables: No chain/target/match by that name.' };
      if (seen.tool === 'iptables-save') {
        return {
          stdout: `*nat\n:${masq} - [0:0]\n-A POSTROUTING -s 10.0.0.5/32 -m comment --comment "name: \\"net\\" id: \\"${id}\\"" -j ${masq}\n-A OTHER -j ${dnat}\n-A ${masq} -d 10.0.0.0/24 -j ACCEPT\nCOMMIT\n`,
        };
      }
      return good(seen);
    }, masquerading());
    plugins.install('iptables', 'iptables-save', 'iptables-restore');
    const attachments = new Attachments(plugins.runTool, cache, new Firewall(plugins.runTool, [plugins.dir]));
    await attachments.add(attachment, netns, context);
    plugins.seen.length = 0;
    await attachments.del(id, inNetns, context, noGuess);
    // both are listed at once
    expect(
      plugins.seen
        .filter(({ argv }) => argv.includes('-S'))
        .map(({ argv }) => argv.at(-1) ?? '')
        .toSorted((a, b) => a.localeCompare(b)),
    ).toEqual([masq, dnat].toSorted((a, b) => a.localeCompare(b)));
    expect(plugins.seen.at(-1)).toMatchObject({
      tool: 'iptables-restore',
      stdinText: `*nat\n-D POSTROUTING -s 10.0.0.5/32 -m comment --comment "name: \\"net\\" id: \\"${id}\\"" -j ${masq}\n-F ${masq}\n-X ${masq}\nCOMMIT\n`,
    });
    expect(await cache.list()).toEqual([]);
  });

  it.each([
    ['the interface has the address of ADD', '10.0.0.5', {}, 0],
    ['the interface has another address', '10.0.0.6', {}, 1],
    ['the interface is gone', undefined, {}, 1],
    ['the plugin is another than bridge or ptp', '10.0.0.5', { type: 'own' }, 1],
    ['the plugin runs another', '10.0.0.5', { delegate: { type: 'bridge' } }, 1],
  ])('are searched by %s: %s', async (_title, address, more, times) => {
    const { cache, attachment } = world(
      (seen) =>
        seen.argv.includes('-S')
          ? { exitCode: 1, stderr: 'iptables: No chain/target/match by that name.' }
          : good(seen),
      network({ plugins: [{ type: 'bridge', ipMasq: true, ...more }] }),
    );
    plugins.install('bridge', 'own', 'iptables');
    const attachments = new Attachments(
      plugins.runTool,
      cache,
      new Firewall(plugins.runTool, [plugins.dir]),
      undefined,
      async () => address,
    );
    await attachments.add({ ...attachment, runtimeConfig: {} }, netns, context);
    await attachments.del(id, inNetns, context, noGuess);
    expect(plugins.seen.filter(({ argv }) => argv.includes('-S'))).toHaveLength(times);
  });

  it.each([
    ['bridge behind Flannel', { type: 'flannel', delegate: { bridge: 'cni0' } }, ['net']],
    ['bridge behind a delegate', { type: 'one', delegate: { type: 'bridge', ipMasq: true } }, ['net']],
    [
      'the networks that Multus delegates to',
      {
        type: 'multus',
        delegates: [
          { name: 'first', plugins: [{ type: 'bridge', ipMasq: true }, { type: 'portmap' }] },
          { name: 'second', type: 'ptp', ipMasq: true },
          { name: 'third', type: 'macvlan' },
        ],
      },
      ['first', 'first DN-', 'second'],
    ],
    ['no plugin that masquerades', { type: 'two', delegate: { type: 'bridge' } }, []],
  ])('are searched for %s', async (_title, plugin, wanted) => {
    const capabilities = { portMappings: true };
    const { cache, attachment } = world(
      (seen) => (seen.argv.includes('-S') ? { exitCode: 1, stderr: 'iptables: No chain' } : good(seen)),
      network({ plugins: [{ ...plugin, capabilities }] }),
    );
    plugins.install('iptables', 'flannel', 'multus');
    const attachments = new Attachments(plugins.runTool, cache, new Firewall(plugins.runTool, [plugins.dir]));
    await attachments.add(attachment, netns, context);
    await attachments.del(id, inNetns, context, noGuess);
    const searched = plugins.seen.filter(({ argv }) => argv.includes('-S')).map(({ argv }) => argv.at(-1));
    expect(new Set(searched)).toEqual(
      new Set(
        wanted.map((name) =>
          name.endsWith(' DN-') ? chainName(name.slice(0, -' DN-'.length), id, 'DN-') : chainName(name, id),
        ),
      ),
    );
  });

  /** The attachment's DEL where `iptables -S` fails. */
  async function delWhere(exitCode: number, stderr: string) {
    const { cache, attachment } = world(
      (seen) => (seen.tool === 'iptables' ? { exitCode, stderr } : good(seen)),
      masquerading(),
    );
    plugins.install('iptables');
    const attachments = new Attachments(plugins.runTool, cache, new Firewall(plugins.runTool, [plugins.dir]));
    await attachments.add(attachment, netns, context);
    return { cache, deleted: attachments.del(id, inNetns, context, noGuess) };
  }

  it.each([
    [4, 'resource problem'],
    [
      4,
      "iptables v1.8.9 (legacy): can't initialize iptables table `nat': Permission denied (you must be root)",
    ],
    [3, "iptables v1.8.9 (legacy): can't initialize iptables table `nat': Module is wrong version"],
  ])('I3 keep the DEL pending while iptables fails with exit code %i: %s', async (exitCode, said) => {
    const { cache, deleted } = await delWhere(exitCode, said);
    expect((await faultOf(deleted)).message).toContain(`exit code ${exitCode}: ${said}`);
    expect(await cache.list()).toEqual([id]);
  });

  it.each([
    "iptables v1.8.9 (legacy): can't initialize iptables table `nat': Table does not exist (do you need to insmod?)",
    "iptables v1.8.9 (legacy): can't initialize iptables table `nat': iptables who? (do you need to insmod?)",
    'iptables/1.8.9 Failed to initialize nft: Protocol not supported',
    "iptables v1.8.9 (nf_tables): chain `CNI-x' in table `nat' is incompatible, use 'nft' tool.",
  ])('I3 are empty where the kernel has no table or no chain: %s', async (said) => {
    const { cache, deleted } = await delWhere(3, said);
    await deleted;
    expect(await cache.list()).toEqual([]);
  });

  it('are not searched where no plugin masquerades or maps ports', async () => {
    const { cache, attachment } = world(good, network({ plugins: [{ type: 'one' }] }));
    plugins.install('iptables', 'ip6tables');
    const attachments = new Attachments(plugins.runTool, cache, new Firewall(plugins.runTool, [plugins.dir]));
    await attachments.add(attachment, netns, context);
    await attachments.del(id, inNetns, context, noGuess);
    expect(plugins.order()).toEqual(['ADD one', 'DEL one']);
  });

  it('are in chains named as by bridge and portmap', () => {
    // taken from a run of bridge 1.1.1 and portmap 1.1.1 in a network "nx"
    const container = sandboxId('a').replaceAll('aa', 'ab');
    expect(chainName('nx', container)).toBe('CNI-0bcc8318cf6b04e07e074e31');
    expect(chainName('nx', container, 'DN-')).toBe('CNI-DN-0bcc8318cf6b04e07e074');
  });
});
