import { describe, expect, it } from 'vitest';
import {
  chooseNetwork,
  isConfFile,
  parseList,
  parseNetworks,
  parseSingle,
  pluginFolder,
} from '../../../src/network/conflist.ts';
import { networkLimits } from '../../../src/network/bounds.ts';

const list = (extra: object = {}) =>
  JSON.stringify({ cniVersion: '1.0.0', name: 'net', plugins: [{ type: 'bridge' }], ...extra });

function reasonOf(text: string): string {
  const parsed = parseList(text);
  return parsed.ok ? 'valid' : parsed.reason;
}

describe('network configurations', () => {
  it('reads a list with its capabilities and switches', () => {
    const parsed = parseList(
      list({
        disableCheck: true,
        disableGC: 'true',
        plugins: [
          { type: 'bridge', mtu: 9000 },
          { type: 'portmap', capabilities: { portMappings: true, dns: false } },
        ],
      }),
    );
    expect(parsed).toEqual({
      ok: true,
      network: {
        name: 'net',
        cniVersion: '1.0.0',
        disableGc: true,
        plugins: [
          { type: 'bridge', capabilities: [], raw: { type: 'bridge', mtu: 9000 } },
          {
            type: 'portmap',
            capabilities: ['portMappings'],
            raw: { type: 'portmap', capabilities: { portMappings: true, dns: false } },
          },
        ],
      },
    });
  });

  it('wraps a single configuration as a list of one', () => {
    const parsed = parseSingle(JSON.stringify({ cniVersion: '0.3.1', name: 'one', type: 'ptp' }));
    expect(parsed.ok && parsed.network.plugins.map(({ type }) => type)).toEqual(['ptp']);
    expect(parseSingle(list()).ok).toBe(false);
  });

  it.each(['0.1.0', '0.2.0', '0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0'])(
    'takes version %s',
    (cniVersion) => {
      const parsed = parseList(list({ cniVersion }));
      expect(parsed.ok && parsed.network.cniVersion).toBe(cniVersion);
    },
  );

  it('takes the highest known of cniVersion and cniVersions, and 0.1.0 for none', () => {
    const versionOf = (text: string) => {
      const parsed = parseList(text);
      return parsed.ok ? parsed.network.cniVersion : parsed.reason;
    };
    expect(versionOf(list({ cniVersion: '0.4.0', cniVersions: ['1.0.0', '9.9.9', '0.3.1'] }))).toBe('1.0.0');
    expect(versionOf(list({ cniVersion: undefined }))).toBe('0.1.0');
    expect(versionOf(list({ cniVersion: '2.0.0' }))).toContain('is not one of');
    expect(versionOf(list({ cniVersion: 1 }))).toContain('not a string');
  });

  it.each(['../../bin/touch', '/bin/touch', '', '..', '.', 'a/b', 'a\\b', 'a\0b', 'a b', '.hidden', 'a\n'])(
    'S50: refuses the plugin type %j, and as a delegate',
    (type) => {
      expect(reasonOf(list({ plugins: [{ type }] }))).toContain('is not the file name of a plugin');
      if (type !== '') {
        expect(reasonOf(list({ plugins: [{ type: 'bridge', ipam: { type } }] }))).toContain('ipam.type');
        expect(reasonOf(list({ plugins: [{ type: 'flannel', delegate: { type } }] }))).toContain(
          'delegate.type',
        );
      }
    },
  );

  it('S50: refuses a type that is missing or not a string', () => {
    expect(reasonOf(list({ plugins: [{}] }))).toContain('plugins[0]');
    expect(reasonOf(list({ plugins: [{ type: 'bridge' }, { type: 7 }] }))).toContain('plugins[1]');
  });

  it.each([
    ['', 'not a JSON object'],
    ['{"cniVersion":"1.0.0","name":"n","plugins":[{"type":"bri', 'not a JSON object'],
    ['[]', 'not a JSON object'],
    ['null', 'not a JSON object'],
    [list({ plugins: [] }), 'is empty'],
    [list({ plugins: {} }), 'no list "plugins"'],
    [list({ plugins: ['bridge'] }), 'not an object'],
    [list({ name: '' }), 'network name'],
    [list({ name: '../x' }), 'network name'],
    [list({ name: 'a'.repeat(300) }), 'network name'],
    [list({ plugins: [{ type: 'a', capabilities: ['x'] }] }), 'capabilities'],
    [
      list({ plugins: Array.from({ length: networkLimits.pluginsPerChain + 1 }, () => ({ type: 'a' })) }),
      'more than',
    ],
  ])('refuses %.60s', (text, reason) => {
    expect(reasonOf(text)).toContain(reason);
  });

  it('keeps numbers that a double cannot hold', () => {
    const parsed = parseList(
      '{"cniVersion":"1.0.0","name":"n","plugins":[{"type":"x","id":12345678901234567890,"f":1.50}]}',
    );
    expect(parsed.ok && JSON.stringify(parsed.network.plugins[0]?.raw)).toBe(
      '{"type":"x","id":12345678901234567890,"f":1.50}',
    );
  });

  it('sorts by file name, skips with a reason, keeps the first of two with one name', () => {
    const loaded = parseNetworks([
      { file: '20-b.conflist', text: list({ name: 'b' }) },
      { file: '10-a.conf', text: JSON.stringify({ cniVersion: '0.3.1', name: 'a', type: 'ptp' }) },
      { file: '05-bad.conflist', text: '{' },
      { file: '30-b.json', text: JSON.stringify({ cniVersion: '0.3.1', name: 'b', type: 'ptp' }) },
    ]);
    expect(loaded.networks.map(({ file }) => file)).toEqual(['10-a.conf', '20-b.conflist']);
    expect(loaded.skipped).toEqual([
      { file: '05-bad.conflist', reason: 'not a JSON object' },
      { file: '30-b.json', reason: 'network name b is already used by 20-b.conflist' },
    ]);
    expect(chooseNetwork(loaded)?.name).toBe('a');
    expect(chooseNetwork(loaded, 'b')?.name).toBe('b');
    expect(chooseNetwork(loaded, 'c')).toBeUndefined();
  });

  it('puts the plugins of the folder behind those of the list, which may be empty', () => {
    const mesh = {
      file: 'net/50-mesh.conf',
      text: JSON.stringify({ type: 'mesh', capabilities: { portMappings: true } }),
    };
    const types = (text: string) => {
      const parsed = parseList(text, [mesh]);
      return parsed.ok ? parsed.network.plugins.map(({ type }) => type) : parsed.reason;
    };
    expect(
      types(JSON.stringify({ cniVersion: '1.0.0', name: 'net', plugins: [{ type: 'bridge' }] })),
    ).toEqual(['bridge', 'mesh']);
    expect(types(JSON.stringify({ cniVersion: '1.0.0', name: 'net' }))).toEqual(['mesh']);
    expect(types(JSON.stringify({ cniVersion: '1.0.0', name: 'net', plugins: [] }))).toContain('is empty');
    const torn = parseList(JSON.stringify({ name: 'net', plugins: [{ type: 'bridge' }] }), [
      { file: 'net/x.conf', text: '{' },
    ]);
    expect(torn).toEqual({ ok: false, reason: 'net/x.conf: not a JSON object' });
  });

  it('S50: takes as the folder a valid network name only, and none where the list disables it', () => {
    expect(pluginFolder('{"name":"net"}')).toBe('net');
    for (const more of [
      '"name":"../x"',
      '"name":"net","loadOnlyInlinedPlugins":true',
      '"name":"net","loadOnlyInlinedPlugins":"True"',
      '"type":"x"',
    ]) {
      expect(pluginFolder(`{${more}}`), more).toBeUndefined();
    }
  });

  it('reads conflist, conf and json files that are not hidden', () => {
    const names = ['a.conflist', 'a.conf', 'a.json', '.a.conflist', 'a.conflist~', 'a.txt', 'conf', '..data'];
    expect(names.filter(isConfFile)).toEqual(['a.conflist', 'a.conf', 'a.json']);
  });
});
