import { execFileSync } from 'node:child_process';
import {
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { networkLimits } from '../../../src/network/bounds.ts';
import { silentLog } from '../../../src/base/log.ts';
import { loadConfDir } from '../../../src/network/conf-dir.ts';
import { defaultNetwork } from '../../../src/network/default-conflist.ts';
import type { WatchOptions } from '../../../src/network/watch.ts';
import { NetworkWatch } from '../../../src/network/watch.ts';
import { injects } from '../../support/faults/injects.ts';
import { HandClock } from '../../support/hand-clock.ts';
import { loopTurn } from '../../support/turns.ts';
import type { Answer, FakePlugins, Seen } from './fake-plugins.ts';
import { fakePlugins, pluginFailure } from './fake-plugins.ts';

const badFiles = injects('F56', 'CNI files that are half-written, a loop of links, or invalid');
const tornFile = injects('F56', 'the file of the network in use is half-written');
const manyFiles = injects('F56', 'more CNI files than are read');

let plugins: FakePlugins;
let watching: NetworkWatch | undefined;
afterEach(async () => {
  await watching?.stop();
  watching = undefined;
  plugins.close();
});

/**
 * Fires the timer of that many milliseconds, and returns when the check that it begins has been followed by the next
 * hurried one.
 */
async function fire(clock: HandClock, ms: number): Promise<void> {
  const [entry] = [...clock.timers].filter(([, timer]) => timer.ms === ms);
  if (entry === undefined) throw new Error(`no timer of ${ms} ms`);
  clock.timers.delete(entry[0]);
  entry[1].fn();
  // a timer is set when the check has ended, and another in its place when the kernel has reported what was written
  // meanwhile
  while ([...clock.timers.values()].every((timer) => timer.ms === networkLimits.rescanMs)) await loopTurn();
}

const list = (name: string, extra: object = {}) =>
  JSON.stringify({ cniVersion: '1.0.0', name, plugins: [{ type: 'bridge' }], ...extra });
const speaks = ({ command }: Seen): Answer =>
  command === 'VERSION' ? { stdout: '{"supportedVersions":["0.4.0","1.0.0","1.1.0"]}' } : {};

function setUp(options: Partial<WatchOptions> = {}, answer: (seen: Seen) => Answer = speaks) {
  plugins = fakePlugins(answer);
  plugins.install('bridge', 'portmap');
  const confDir = join(plugins.dir, 'net.d');
  mkdirSync(confDir);
  const clock = new HandClock();
  const watch = new NetworkWatch({
    confDir,
    networkName: '',
    pluginDirs: [plugins.dir],
    provenFile: join(plugins.dir, 'proven'),
    clock,
    runTool: plugins.runTool,
    log: silentLog,
    ...options,
  });
  watching = watch;
  /** Fires the timers of that many milliseconds, and waits for the checks that they began. */
  const pass = async (ms: number): Promise<void> => {
    clock.fire(ms);
    await watch.rescan();
  };
  return {
    confDir,
    clock,
    watch,
    pass,
    put: (file: string, text: string) => writeFileSync(join(confDir, file), text),
  };
}

describe('NetworkReady', () => {
  it('is false with a reason before the first scan and for an empty or absent directory', async () => {
    const { watch, confDir } = setUp();
    expect(watch.state()).toMatchObject({ ready: false, reason: 'NetworkPluginNotReady' });
    await watch.start();
    expect(watch.state()).toEqual({
      ready: false,
      reason: 'NetworkPluginNotReady',
      message: `no CNI configuration in ${confDir}: install a network, or set network.fallback = "bridge"`,
    });
    rmSync(confDir, { recursive: true });
    await watch.rescan();
    expect(watch.state().message).toContain(`no CNI configuration in ${confDir}: install a network`);
  });

  it('F56: names what is wrong with the files, and becomes true with a valid one', async () => {
    const { watch, put, confDir } = setUp();
    put('10-half.conflist', list('half').slice(0, 30));
    symlinkSync('20-loop.conf', join(confDir, '20-loop.conf'));
    put('30-s50.conflist', list('bad', { plugins: [{ type: '../../bin/touch' }] }));
    await watch.start();
    expect(watch.state().ready).toBe(false);
    expect(watch.state().message).toContain('20-loop.conf: ELOOP');
    expect(watch.state().message).toContain('10-half.conflist: not a JSON object');
    expect(watch.state().message).toContain('30-s50.conflist: plugins[0]: type "../../bin/touch"');
    badFiles.happened(3);
    put('40-good.conflist', list('good'));
    await watch.rescan();
    expect(watch.state()).toMatchObject({ ready: true, reason: '', message: '', network: { name: 'good' } });
  });

  it('adds the plugins in the folder of the network, in order of their files, and names a bad one', async () => {
    const { watch, put, confDir, pass } = setUp();
    put('10-net.conflist', list('net'));
    mkdirSync(join(confDir, 'net'));
    put('net/20-two.conf', '{"type":"portmap"}');
    put('net/10-one.conf', '{"type":"bridge"}');
    put('net/README', 'no plugin');
    put('net/30.json', '{"type":"no plugin either"}');
    await watch.start();
    expect(watch.state()).toMatchObject({
      ready: true,
      network: { plugins: [{ type: 'bridge' }, { type: 'bridge' }, { type: 'portmap' }] },
    });
    put('net/15-torn.conf', '{"type":');
    await watch.rescan();
    await pass(networkLimits.tornMs);
    expect(watch.state().message).toContain('10-net.conflist: net/15-torn.conf: not a JSON object');
    rmSync(join(confDir, 'net/15-torn.conf'));
    symlinkSync('loop.conf', join(confDir, 'net/loop.conf'));
    await watch.rescan();
    expect(watch.state().message).toContain('10-net.conflist: net/loop.conf: ELOOP');
  });

  it('uses the configured network, and waits for it', async () => {
    const { watch, put, confDir } = setUp({ networkName: 'mine' });
    put('10.conflist', list('other'));
    await watch.start();
    expect(watch.state().message).toBe(`no network mine in ${confDir}`);
    put('20.conflist', list('mine'));
    await watch.rescan();
    expect(watch.state()).toMatchObject({ ready: true, network: { name: 'mine' } });
  });

  it('waits for a configured network that is not there yet, and uses no fallback in its place', async () => {
    const fallback = defaultNetwork({ leaseDir: '/var/lib/x' });
    const { watch, put, confDir } = setUp({ fallback, networkName: 'mine' });
    await watch.start();
    expect(watch.state()).toEqual({
      ready: false,
      reason: 'NetworkPluginNotReady',
      message: `no network mine in ${confDir}: no CNI configuration`,
    });
    put('10.conflist', list('mine'));
    await watch.rescan();
    expect(watch.state()).toMatchObject({ ready: true, network: { name: 'mine' } });
  });

  it('turns false when the configuration is deleted, never back to the fallback', async () => {
    plugins = fakePlugins(speaks);
    const fallback = defaultNetwork({ leaseDir: '/var/lib/x' });
    plugins.close();
    const { watch, put, confDir } = setUp({ fallback });
    await watch.start();
    expect(watch.state()).toMatchObject({ ready: true, network: { name: 'troupe0' } });
    put('10.conflist', list('real'));
    await watch.rescan();
    expect(watch.state()).toMatchObject({ ready: true, network: { name: 'real' } });
    rmSync(join(confDir, '10.conflist'));
    await watch.rescan();
    expect(watch.state()).toMatchObject({ ready: false, reason: 'NetworkPluginNotReady' });
  });

  it('F56: treats a broken file that was valid as half-written: pods join their own network, not that of the next file', async () => {
    const { watch, put, pass } = setUp();
    put('10-own.conflist', list('own'));
    put('87-other.conflist', list('other'));
    await watch.start();
    for (const half of ['', list('own').slice(0, 20)]) {
      put('10-own.conflist', half);
      await watch.rescan();
      expect(watch.state()).toMatchObject({ ready: true, network: { name: 'own', disableGc: false } });
      tornFile.happened();
    }
    put('10-own.conflist', list('own', { disableGC: true }));
    await watch.rescan();
    expect(watch.state()).toMatchObject({ ready: true, network: { name: 'own', disableGc: true } });
    // one that stays so is broken after a second, and is good again at once
    put('10-own.conflist', '{');
    await watch.rescan();
    await pass(networkLimits.tornMs);
    expect(watch.state()).toMatchObject({ ready: true, network: { name: 'other' } });
    await watch.rescan();
    expect(watch.state()).toMatchObject({ network: { name: 'other' } });
    put('10-own.conflist', list('own'));
    await watch.rescan();
    expect(watch.state()).toMatchObject({ ready: true, network: { name: 'own' } });
  });

  it('does not use the fallback for a directory with a broken file', async () => {
    const { watch, put } = setUp({ fallback: defaultNetwork({ leaseDir: '/var/lib/x' }) });
    put('10.conflist', '{');
    await watch.start();
    expect(watch.state().ready).toBe(false);
  });

  it('probes no plugin after a restart of the daemon, unless an executable has changed or the stored probe is damaged', async () => {
    const { watch, put, confDir, clock } = setUp();
    put('10-a.conflist', list('a'));
    await watch.start();
    expect(plugins.order()).toEqual(['VERSION bridge']);
    const provenFile = join(plugins.dir, 'proven');
    const again = async (): Promise<NetworkWatch> => {
      const next = new NetworkWatch({
        confDir,
        networkName: '',
        pluginDirs: [plugins.dir],
        provenFile,
        clock,
        runTool: plugins.runTool,
        log: silentLog,
      });
      await next.start();
      await next.stop();
      return next;
    };
    expect((await again()).state().ready).toBe(true);
    expect(plugins.order()).toHaveLength(1);
    writeFileSync(provenFile, readFileSync(provenFile, 'utf8').slice(0, -1));
    expect((await again()).state().ready).toBe(true);
    expect(plugins.order()).toHaveLength(2);
    plugins.install('bridge');
    expect((await again()).state().ready).toBe(true);
    expect(plugins.order()).toHaveLength(3);
  });

  it('is false while a plugin is absent, and asks VERSION once per set of executables', async () => {
    const { watch, put } = setUp();
    put('10.conflist', list('n', { plugins: [{ type: 'bridge' }, { type: 'late' }] }));
    await watch.start();
    expect(watch.state().message).toBe(`network n: no plugin late in ${plugins.dir}`);
    plugins.install('late');
    await watch.rescan();
    await watch.rescan();
    expect(watch.state().ready).toBe(true);
    expect(plugins.order()).toEqual(['VERSION bridge', 'VERSION late']);
    writeFileSync(join(plugins.dir, 'late'), 'a newer one');
    await watch.rescan();
    expect(plugins.order().slice(2)).toEqual(['VERSION bridge', 'VERSION late']);
  });

  it('follows STATUS at each scan from 1.1.0 on', async () => {
    let available = false;
    const { watch, put } = setUp({}, (seen) =>
      seen.command === 'STATUS' && !available ? pluginFailure(50, 'no daemon') : speaks(seen),
    );
    put('10.conflist', list('n', { cniVersion: '1.1.0' }));
    await watch.start();
    expect(watch.state()).toMatchObject({
      ready: false,
      message: expect.stringContaining('error 50: no daemon'),
      network: { name: 'n' },
    });
    available = true;
    await watch.rescan();
    expect(watch.state().ready).toBe(true);
  });

  it('scans again after 5 s, sooner after an event, and sees a replaced directory', async () => {
    const { watch, clock, confDir, put } = setUp();
    await watch.start();
    expect([...clock.timers.values()].map(({ ms }) => ms)).toEqual([networkLimits.rescanMs]);
    const hurried = new Promise<void>((resolve) => {
      const set = clock.setTimeout.bind(clock);
      clock.setTimeout = (fn, ms) => {
        if (ms === networkLimits.rescanDelayMs) resolve();
        return set(fn, ms);
      };
    });
    put('10.conflist', list('n'));
    await hurried;
    renameSync(confDir, `${confDir}.old`);
    mkdirSync(confDir);
    put('20.conflist', list('replaced'));
    clock.fire();
    await watch.rescan();
    expect(watch.state()).toMatchObject({ ready: true, network: { name: 'replaced' } });
  });

  it('S89 is not scanned faster for endless writes: those during a scan are seen by the next one a moment later', async () => {
    let polls = 0;
    const { watch, clock, put } = setUp(
      {
        runTool: async (call) => {
          const result = await plugins.runTool(call);
          // the check goes on until it has heard of what was written meanwhile
          for (let turn = 0; turn < 50; turn += 1) await loopTurn();
          return result;
        },
      },
      (seen) => {
        if (seen.command === 'STATUS') polls += 1;
        if (polls < 20) put('20-other.conflist', list(`other-${polls}`));
        return speaks(seen);
      },
    );
    put('10.conflist', list('n', { cniVersion: '1.1.0' }));
    await watch.start();
    expect(polls).toBe(1);
    expect([...clock.timers.values()].map(({ ms }) => ms)).toEqual([networkLimits.rescanDelayMs]);
  });

  it('S89 scans a few times in a second, however often somebody writes there, since each scan runs the plugins', async () => {
    let polls = 0;
    const { watch, clock, put } = setUp(
      {
        runTool: async (call) => {
          const result = await plugins.runTool(call);
          for (let turn = 0; turn < 50; turn += 1) await loopTurn();
          return result;
        },
      },
      (seen) => {
        if (seen.command === 'STATUS') polls += 1;
        // during each check, as a plugin may that keeps something there
        put('20-other.conflist', list(`other-${polls}`));
        return speaks(seen);
      },
    );
    put('10.conflist', list('n', { cniVersion: '1.1.0' }));
    await watch.start();
    const { times, everyMs } = networkLimits.eventScans;
    for (let poll = 1; poll < times; poll += 1) await fire(clock, networkLimits.rescanDelayMs);
    expect([polls, [...clock.timers.values()].map(({ ms }) => ms)]).toEqual([
      times,
      [networkLimits.rescanDelayMs],
    ]);
    await fire(clock, networkLimits.rescanDelayMs);
    expect([...clock.timers.values()].map(({ ms }) => ms)).toEqual([everyMs]);
    clock.nowMs += everyMs;
    await fire(clock, everyMs);
    expect([polls, [...clock.timers.values()].map(({ ms }) => ms)]).toEqual([
      times + 2,
      [networkLimits.rescanDelayMs],
    ]);
  });

  it('sets no timer once stopped', async () => {
    const { watch, clock } = setUp();
    await watch.start();
    await watch.stop();
    await watch.rescan();
    expect(clock.timers.size).toBe(0);
  });
});

describe('a directory of configurations', () => {
  it('F56: is refused with more entries than its bound', async () => {
    const { confDir } = setUp();
    for (let at = 0; at <= networkLimits.confDirEntries; at += 1)
      writeFileSync(join(confDir, `${at}.conflist`), '{}');
    const loaded = await loadConfDir(confDir);
    expect(loaded).toMatchObject({ networks: [], empty: false });
    expect(loaded.problem).toBe(`${confDir} has more than ${networkLimits.confDirEntries} entries`);
    manyFiles.happened();
  });

  it('F56: skips files that are not regular or too large, without hanging', async () => {
    const { confDir, put } = setUp();
    execFileSync('mkfifo', [join(confDir, '10-fifo.conf')]);
    mkdirSync(join(confDir, '20-dir.conf'));
    put('30-large.conf', '');
    truncateSync(join(confDir, '30-large.conf'), networkLimits.confFileBytes + 1);
    symlinkSync('/dev/zero', join(confDir, '40-zero.conf'));
    symlinkSync('50-real', join(confDir, '50-link.conflist'));
    put('50-real', list('linked'));
    const loaded = await loadConfDir(confDir);
    expect(loaded.networks.map(({ network }) => network.name)).toEqual(['linked']);
    expect(loaded.skipped).toEqual([
      { file: '10-fifo.conf', reason: 'not a regular file' },
      { file: '20-dir.conf', reason: 'not a regular file' },
      { file: '30-large.conf', reason: `more than ${networkLimits.confFileBytes} bytes` },
      { file: '40-zero.conf', reason: 'not a regular file' },
    ]);
  });

  it('reports when it is not a directory', async () => {
    const { confDir } = setUp();
    writeFileSync(`${confDir}.file`, '');
    expect((await loadConfDir(`${confDir}.file`)).problem).toBe(`read ${confDir}.file: ENOTDIR`);
  });
});
