// What a reload changes of the network: directory, name, plugins.
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { silentLog } from '../../../src/base/log.ts';
import { defaultNetwork } from '../../../src/network/default-conflist.ts';
import type { WatchOptions } from '../../../src/network/watch.ts';
import { NetworkWatch } from '../../../src/network/watch.ts';
import { HandClock } from '../../support/hand-clock.ts';
import type { FakePlugins } from './fake-plugins.ts';
import { fakePlugins } from './fake-plugins.ts';

let plugins: FakePlugins;
let watching: NetworkWatch | undefined;
afterEach(async () => {
  await watching?.stop();
  watching = undefined;
  plugins.close();
});

const list = (name: string): string =>
  JSON.stringify({ cniVersion: '1.0.0', name, plugins: [{ type: 'bridge' }] });

function setUp(options: Partial<WatchOptions> = {}) {
  plugins = fakePlugins(({ command }) =>
    command === 'VERSION' ? { stdout: '{"supportedVersions":["0.4.0","1.0.0","1.1.0"]}' } : {},
  );
  plugins.install('bridge', 'portmap', 'host-local');
  const confDir = join(plugins.dir, 'net.d');
  mkdirSync(confDir);
  const watch = new NetworkWatch({
    confDir,
    networkName: '',
    pluginDirs: [plugins.dir],
    provenFile: join(plugins.dir, 'proven'),
    clock: new HandClock(),
    runTool: plugins.runTool,
    log: silentLog,
    ...options,
  });
  watching = watch;
  return { confDir, watch, put: (file: string, text: string) => writeFileSync(join(confDir, file), text) };
}

describe('another choice of a reload', () => {
  const other = (dir: string, networkName = '', pluginDirs = [plugins.dir]) => ({
    confDir: dir,
    networkName,
    pluginDirs,
  });

  it('takes effect with the scan that it begins: name, plugins, directory', async () => {
    const { watch, put, confDir } = setUp();
    put('10-one.conflist', list('one'));
    put('20-two.conflist', list('two'));
    await watch.start();
    expect(watch.state().network?.name).toBe('one');
    watch.choose(other(confDir, 'two'));
    await watch.rescan();
    expect(watch.state().network?.name).toBe('two');
    watch.choose(other(confDir, '', ['/nowhere']));
    await watch.rescan();
    expect(watch.state()).toMatchObject({
      ready: false,
      message: 'network one: no plugin bridge in /nowhere',
    });
    watch.choose(other('/nowhere'));
    await watch.rescan();
    expect(watch.state().message).toContain('no CNI configuration in /nowhere');
    expect(watch.choice.confDir).toBe('/nowhere');
  });

  it('drops the result of a scan that began before', async () => {
    const { watch, put, confDir } = setUp();
    put('10-one.conflist', list('one'));
    await watch.start();
    const earlier = watch.rescan();
    watch.choose(other('/nowhere'));
    await earlier;
    expect(watch.state().ready).toBe(false);
    watch.choose(other(confDir));
    await watch.rescan();
    expect(watch.state().ready).toBe(true);
  });

  it('counts an empty directory as at a start: its fallback is used, which the directory before had ended', async () => {
    const fallback = defaultNetwork({ bridge: 'b0', subnet: '10.9.0.0/16', leaseDir: '/nowhere' });
    const { watch, put, confDir } = setUp({ fallback });
    put('10-one.conflist', list('one'));
    await watch.start();
    rmSync(join(confDir, '10-one.conflist'));
    await watch.rescan();
    expect(watch.state()).toMatchObject({ ready: false });
    const elsewhere = join(plugins.dir, 'other.d');
    mkdirSync(elsewhere);
    watch.choose(other(elsewhere));
    await watch.rescan();
    expect(watch.state().network).toBe(fallback);
  });
});
