import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import type { EffectContext } from '../../../src/ports/effect.ts';
import { silentLog } from '../../../src/base/log.ts';
import { networkLimits } from '../../../src/network/bounds.ts';
import type { NetworkDriver, NetworkDriverOptions } from '../../../src/network/driver.ts';
import { createNetworkDriver } from '../../../src/network/driver.ts';
import type { Answer, FakePlugins, Seen } from './fake-plugins.ts';
import { faultOf } from '../../support/fault-of.ts';
import { HandClock } from '../../support/hand-clock.ts';
import { turns } from '../../support/turns.ts';
import { fakePlugins, pluginFailure, result, sandboxId, sandboxInput } from './fake-plugins.ts';

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
  /** The configuration file, in place of one with this chain. */
  readonly text?: string;
  readonly clock?: NetworkDriverOptions['clock'];
  readonly reportProblem?: NetworkDriverOptions['reportProblem'];
  /** More files of the directory. */
  readonly files?: Readonly<Record<string, string>>;
}

const stillClock = { setTimeout: () => 0, clearTimeout: () => undefined, monoMs: () => 0 };

const speaks = ({ command }: Seen): Answer => {
  if (command === 'VERSION') return { stdout: '{"supportedVersions":["1.1.0"]}' };
  return command === 'ADD' ? { stdout: result('10.0.0.5', { cniVersion: '1.1.0' }) } : {};
};

async function start({
  answer = speaks,
  netns = () => OWN_NETNS,
  chain = [{ type: 'one' }],
  text = JSON.stringify({ cniVersion: '1.1.0', name: 'n', plugins: chain }),
  clock = stillClock,
  reportProblem = () => undefined,
  files = {},
}: Setting = {}): Promise<NetworkDriver> {
  plugins = fakePlugins(answer);
  plugins.install('one', 'two');
  const confDir = join(plugins.dir, 'net.d');
  mkdirSync(confDir);
  writeFileSync(join(confDir, '10.conflist'), text);
  for (const [name, content] of Object.entries(files)) writeFileSync(join(confDir, name), content);
  driver = createNetworkDriver({
    confDir,
    networkName: '',
    pluginDirs: [plugins.dir],
    cacheDir: join(plugins.dir, 'cache'),
    provenFile: join(plugins.dir, 'proven'),
    netnsPath: netns,
    runTool: plugins.runTool,
    reportProblem,
    clock,
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

describe('a broken file beside a good one', () => {
  it('F56 is reported with its reason until it is gone, and the network is ready all the same', async () => {
    const clock = new HandClock();
    const reported: (readonly [string, string])[] = [];
    const port = await start({
      clock,
      files: { '20-broken.conflist': '{' },
      reportProblem: (path, reason) => void reported.push([path, reason]),
    });
    const broken = join(plugins.dir, 'net.d/20-broken.conflist');
    expect(port.status()).toMatchObject({ ready: true });
    expect(reported).toEqual([[broken, 'not a JSON object']]);
    rmSync(broken);
    await clock.advance(networkLimits.rescanMs);
    await expect.poll(() => reported.at(-1)).toEqual([broken, '']);
  });
});

describe('the network port', () => {
  it('adds, reports what it waits on, lists and deletes', async () => {
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

  it('F55: a start deletes files that a killed daemon had not finished, and nothing else', async () => {
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

  it('F57: treats a pin without a namespace, or a missing pin, as a removed namespace', async () => {
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

  describe('GC', () => {
    /** Each answer of these commands waits until it is released. */
    function held(...commands: string[]) {
      const waiting: (() => void)[] = [];
      let begun = Promise.withResolvers<void>();
      const answer = async (seen: Seen): Promise<Answer> => {
        if (commands.includes(seen.command)) {
          const gate = Promise.withResolvers<void>();
          waiting.push(gate.resolve);
          begun.resolve();
          await gate.promise;
        }
        return speaks(seen);
      };
      const next = async (): Promise<void> => {
        await begun.promise;
        begun = Promise.withResolvers<void>();
      };
      return { answer, next, release: () => waiting.shift()?.() };
    }

    const two = { chain: [{ type: 'one' }, { type: 'two' }] };
    const other = sandboxId('e');

    it('has one network to collect, another after a change, none below 1.1.0, with disableGC or before STATUS is good', async () => {
      const conflist = (extra: object): string =>
        JSON.stringify({ cniVersion: '1.1.0', name: 'n', plugins: [{ type: 'one' }], ...extra });
      const port = await start();
      const first = port.collectable();
      expect(first).toMatch(/^n@[0-9a-f]{16}$/u);
      await port.stop();
      const seen = new Set([first]);
      for (const [extra, isIn] of [
        [{ plugins: [{ type: 'one', mtu: 9000 }] }, true],
        [{ name: 'm' }, true],
        [{ cniVersion: '1.0.0' }, false],
        [{ disableGC: true }, false],
        [{ plugins: [{ type: 'absent' }] }, false],
      ] as const) {
        plugins.close();
        const next = await start({ text: conflist(extra) });
        expect(next.collectable() !== undefined).toBe(isIn);
        if (isIn) expect(seen.has(next.collectable())).toBe(false);
        seen.add(next.collectable());
        await next.stop();
      }
    });

    it('keeps what is given, what is attached, and what has a DEL that failed', async () => {
      const port = await start({
        answer: (seen) => (seen.command === 'DEL' ? pluginFailure(11, 'later') : speaks(seen)),
      });
      await port.add(sandboxInput(id), effect());
      await port.add(sandboxInput(other), effect());
      await faultOf(port.del(sandboxInput(other), effect()));
      plugins.seen.length = 0;
      const recorded = sandboxId('a');
      await port.collect([recorded, id], effect());
      expect(plugins.order()).toEqual(['GC one']);
      const valid = plugins.seen[0]?.stdin['cni.dev/valid-attachments'] as { containerID: string }[];
      expect(valid.map(({ containerID }) => containerID).toSorted()).toEqual(
        [recorded, id, other].toSorted(),
      );
      expect(valid.every((one) => (one as { ifname?: string }).ifname === 'eth0')).toBe(true);
    });

    it('an ADD that arrives during GC waits for one plugin, not for the chain, and the next plugin keeps its pod', async () => {
      const { answer, next, release } = held('GC');
      const port = await start({ answer, ...two });
      const collecting = port.collect([], effect());
      await next();
      const adding = port.add(sandboxInput(id), effect());
      await turns();
      expect(plugins.order()).toEqual(['GC one']);
      release();
      expect(await adding).toEqual({ ips: ['10.0.0.5'] });
      await next();
      release();
      await collecting;
      expect(plugins.order()).toEqual(['GC one', 'ADD one', 'ADD two', 'GC two']);
      expect(plugins.seen[0]?.stdin['cni.dev/valid-attachments']).toEqual([]);
      expect(plugins.seen[3]?.stdin['cni.dev/valid-attachments']).toEqual([
        { containerID: id, ifname: 'eth0' },
      ]);
    });

    it('an ADD whose caller has gone during GC runs no plugin and stores nothing', async () => {
      const { answer, next, release } = held('GC');
      const port = await start({ answer });
      const collecting = port.collect([], effect());
      await next();
      const abort = new AbortController();
      const adding = faultOf(port.add(sandboxInput(id), { ...effect(), signal: abort.signal }));
      await turns();
      abort.abort();
      release();
      expect((await adding).kind).toBe('cancelled');
      await collecting;
      expect(plugins.order()).toEqual(['GC one']);
      expect(await port.observe(effect())).toEqual([]);
    });

    it('a DEL with something stored waits for GC, and for its caller no longer than that; one without does not', async () => {
      const { answer, next, release } = held('GC');
      const port = await start({ answer });
      await port.add(sandboxInput(id), effect());
      const collecting = port.collect([], effect());
      await next();
      const abort = new AbortController();
      const deleting = faultOf(port.del(sandboxInput(id), { ...effect(), signal: abort.signal }));
      await port.del(sandboxInput(other), effect());
      abort.abort();
      release();
      expect((await deleting).kind).toBe('cancelled');
      await collecting;
      expect(plugins.order()).toEqual(['ADD one', 'GC one']);
      expect(await port.observe(effect())).toEqual([id]);
    });

    it('waits for ADD and DEL, also for one that begins when another ends', async () => {
      const { answer, next, release } = held('ADD', 'DEL');
      const port = await start({ answer });
      const adding = port.add(sandboxInput(id), effect());
      await next();
      const collecting = port.collect([], effect());
      await turns();
      const adding2 = port.add(sandboxInput(other), effect());
      await next();
      release();
      await adding;
      const deleting = port.del(sandboxInput(id), effect());
      await next();
      release();
      await adding2;
      await turns();
      expect(plugins.order()).toEqual(['ADD one', 'ADD one', 'DEL one']);
      release();
      await deleting;
      await collecting;
      expect(plugins.order()).toEqual(['ADD one', 'ADD one', 'DEL one', 'GC one']);
    });

    it('gives up after half a minute without a pause, and when it is cancelled', async () => {
      const { answer, next, release } = held('ADD');
      const clock = new HandClock();
      const port = await start({ answer, clock });
      const adding = port.add(sandboxInput(id), effect());
      await next();
      const collecting = faultOf(port.collect([], effect()));
      await turns();
      await clock.advance(networkLimits.gcQuietMs);
      expect(await collecting).toMatchObject({
        kind: 'notReady',
        message: 'CNI GC in network n: ADD or DEL in progress for 30s without a pause',
      });
      const abort = new AbortController();
      const cancelled = faultOf(port.collect([], { ...effect(), signal: abort.signal }));
      await turns();
      expect(await faultOf(port.collect([], effect()))).toMatchObject({
        kind: 'notReady',
        message: 'CNI GC in network n: already in progress',
      });
      abort.abort();
      expect((await cancelled).kind).toBe('cancelled');
      release();
      await adding;
      // the passing of time caused a scan
      const order = (): readonly string[] => plugins.order().filter((one) => one !== 'STATUS one');
      expect(order()).toEqual(['ADD one']);
      await port.collect([], effect());
      expect(order()).toEqual(['ADD one', 'GC one']);
    });
  });
});
