import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import type { EffectContext } from '../../../src/ports/effect.ts';
import { silentLog } from '../../../src/base/log.ts';
import type { NetworkDriver } from '../../../src/network/driver.ts';
import { createNetworkDriver } from '../../../src/network/driver.ts';
import type { Answer, FakePlugins, Seen } from './fake-plugins.ts';
import { faultOf } from '../../support/fault-of.ts';
import { fakePlugins, result, sandboxId, sandboxInput } from './fake-plugins.ts';

const id = sandboxId('f');
/** A namespace that is there without root: this process's own. */
const OWN_NETNS = '/proc/self/ns/net';

let plugins: FakePlugins;
let driver: NetworkDriver | undefined;
afterEach(async () => {
  await driver?.stop();
  plugins.close();
});

interface Setting {
  readonly answer?: (seen: Seen) => Answer | Promise<Answer>;
  readonly netns?: () => string;
  readonly chain?: readonly object[];
}

const speaks = ({ command }: Seen): Answer => {
  if (command === 'VERSION') return { stdout: '{"supportedVersions":["1.1.0"]}' };
  return command === 'ADD' ? { stdout: result('10.0.0.5', { cniVersion: '1.1.0' }) } : {};
};

async function start({
  answer = speaks,
  netns = () => OWN_NETNS,
  chain = [{ type: 'one' }],
}: Setting = {}): Promise<NetworkDriver> {
  plugins = fakePlugins(answer);
  plugins.install('one');
  const confDir = join(plugins.dir, 'net.d');
  mkdirSync(confDir);
  writeFileSync(
    join(confDir, '10.conflist'),
    JSON.stringify({ cniVersion: '1.1.0', name: 'n', plugins: chain }),
  );
  driver = createNetworkDriver({
    confDir,
    networkName: '',
    pluginDirs: [plugins.dir],
    cacheDir: join(plugins.dir, 'cache'),
    provenFile: join(plugins.dir, 'proven'),
    netnsPath: netns,
    runTool: plugins.runTool,
    clock: { setTimeout: () => 0, clearTimeout: () => undefined, monoMs: () => 0 },
    log: silentLog,
  });
  await driver.start();
  plugins.seen.length = 0;
  return driver;
}

function effect(): EffectContext & { readonly notes: string[] } {
  const notes: string[] = [];
  return {
    signal: new AbortController().signal,
    timeoutMs: 1000,
    note: ({ on }) => void notes.push(on),
    notes,
  };
}

describe('the network port', () => {
  it('adds, tells what it waits on, lists and deletes', async () => {
    const port = await start();
    const fx = effect();
    expect(await port.add(sandboxInput(id), fx)).toEqual({ ips: ['10.0.0.5'] });
    expect(fx.notes).toEqual(['CNI ADD one']);
    expect(plugins.seen[0]?.env).toMatchObject({
      CNI_NETNS: OWN_NETNS,
      CNI_IFNAME: 'eth0',
      CNI_CONTAINERID: id,
    });
    expect(plugins.seen[0]?.env['CNI_ARGS']).toBe(
      `IgnoreUnknown=1;K8S_POD_NAMESPACE=prod;K8S_POD_NAME=web;K8S_POD_INFRA_CONTAINER_ID=${id};K8S_POD_UID=u-1`,
    );
    expect(await port.observe(effect())).toEqual([id]);
    await port.del(sandboxInput(id), effect());
    expect(await port.observe(effect())).toEqual([]);
  });

  it('F55: a start deletes what a daemon that was killed had not finished writing, and nothing else', async () => {
    const network = await start();
    const cache = join(plugins.dir, 'cache');
    await network.add(sandboxInput(id), effect());
    const kept = readdirSync(cache).toSorted();
    writeFileSync(join(cache, `.${id}.result.new`), '{');
    writeFileSync(join(cache, `.${sandboxId('e')}.json.new`), '');
    await network.start();
    expect(readdirSync(cache).toSorted()).toEqual(kept);
    expect(await network.observe(effect())).toEqual([id]);
  });

  it('S66: refuses a pod name that would add arguments, before anything is kept or run', async () => {
    const port = await start();
    const key = { name: 'web;IP=10.0.0.9', namespace: 'prod', uid: 'u', attempt: 0 };
    expect((await faultOf(port.add(sandboxInput(id, { key }), effect()))).kind).toBe('invalidRequest');
    expect(plugins.seen).toEqual([]);
    expect(await port.observe(effect())).toEqual([]);
  });

  it('F57: takes a pin that holds no namespace, or is absent, for a namespace that is gone', async () => {
    let path = OWN_NETNS;
    const port = await start({ netns: () => path });
    await port.add(sandboxInput(id), effect());
    path = join(plugins.dir, 'one');
    expect((await faultOf(port.add(sandboxInput(sandboxId('e')), effect()))).message).toContain(
      'its network namespace is gone',
    );
    await port.del(sandboxInput(id), effect());
    expect(plugins.seen.at(-1)?.env).toMatchObject({ CNI_COMMAND: 'DEL', CNI_NETNS: '' });
    path = '/nowhere/x';
    await port.add(sandboxInput(id), effect()).catch(() => undefined);
    expect(await port.observe(effect())).toEqual([]);
  });

  it('keeps the annotations of a pod only when a plugin asks for them', async () => {
    const annotations = { secret: 'in an annotation' };
    const kept = () => readFileSync(join(plugins.dir, 'cache', `${id}.json`), 'utf8');
    const port = await start();
    await port.add(sandboxInput(id, { annotations }), effect());
    expect(kept()).not.toContain('secret');
    await port.stop();
    plugins.close();
    const asking = await start({
      chain: [{ type: 'one', capabilities: { 'io.kubernetes.cri.pod-annotations': true } }],
    });
    await asking.add(sandboxInput(id, { annotations }), effect());
    expect(plugins.seen[0]?.stdin['runtimeConfig']).toEqual({
      'io.kubernetes.cri.pod-annotations': annotations,
    });
    expect(kept()).toContain('secret');
  });

  it('keeps GC and ADD apart: GC is refused beside an ADD, an ADD waits for a GC', async () => {
    let release = (): void => undefined;
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    let begun = (): void => undefined;
    const begins = new Promise<void>((resolve) => {
      begun = resolve;
    });
    const port = await start({
      answer: async (seen) => {
        if (seen.command === 'ADD' || seen.command === 'GC') begun();
        if (seen.command === 'GC') await held;
        return speaks(seen);
      },
    });
    const collecting = port.collect(effect());
    await begins;
    const adding = port.add(sandboxInput(id), effect());
    expect((await faultOf(port.collect(effect()))).kind).toBe('notReady');
    expect(plugins.order()).toEqual(['GC one']);
    release();
    await collecting;
    expect(await adding).toEqual({ ips: ['10.0.0.5'] });
    expect(plugins.order()).toEqual(['GC one', 'ADD one']);
    const again = port.add(sandboxInput(sandboxId('e')), effect());
    expect((await faultOf(port.collect(effect()))).kind).toBe('notReady');
    await again;
  });
});
