// Every wrong value is found before anything starts, all of them at once, each with its place and a hint.
import { describe, expect, it } from 'vitest';
import { ConfigError, errorLines, problemText } from '../../../../src/daemon/config/config-problem.ts';
import { configLimits } from '../../../../src/daemon/bounds.ts';
import { applyFile, surveyConfig } from '../../../../src/daemon/config/config.ts';
import type { Overrides } from '../../../../src/daemon/config/config.ts';
import { defaultConfig } from '../../../../src/daemon/config/config-schema.ts';
import { nearestWord } from '../../../../src/daemon/config/nearest-key.ts';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** The errors of a text. */
function errorsOf(text: string): readonly string[] {
  try {
    applyFile(defaultConfig, text, 't.toml');
    return [];
  } catch (thrown) {
    if (!(thrown instanceof ConfigError)) throw thrown;
    return thrown.problems.map(problemText);
  }
}

describe('a wrong value', () => {
  it.each([
    [
      'network.default_subnet = "foo"',
      'foo is not an address with a prefix length; must be a subnet such as',
    ],
    ['network.default_subnet = "10.62.0.0/31"', '10.62.0.0/31 is too small'],
    ['network.default_subnet = "10.1.0.0/16,10.2.0.0/16"', 'two subnets of one address family'],
    ['network.default_bridge = "a bridge"', 'must be the name of a network interface'],
    ['network.default_bridge = "sixteen-letters-"', 'must be the name of a network interface'],
    ['network.name = "my net"', 'must be the name of a network'],
    ['streaming.address = "1.2.3"', 'must be an IPv4 or IPv6 address'],
    ['streaming.address = "fe80::1%eth0"', 'must be an IPv4 or IPv6 address'],
    ['streaming.port = 70000', 'must be a number from 0 to 65535'],
    ['metrics.address = "node-7:9095"', 'must be an IPv4 or IPv6 address with a port'],
    ['metrics.address = "192.0.2.7"', 'must be an IPv4 or IPv6 address with a port'],
    ['metrics.address = "2001:db8::7:9095"', 'must be an IPv4 or IPv6 address with a port'],
    ['metrics.address = "192.0.2.7:70000"', 'must be an IPv4 or IPv6 address with a port'],
    ['tracing.sampling = 1.5', 'must be a number from 0 to 1'],
    ['tracing.sampling = "all"', 'must be a number from 0 to 1'],
    ['tracing.protocol = "udp"', 'must be one of http, grpc'],
    ['introspection.http_address = "127.0.0.1:70000"', 'must be a loopback address with a port'],
    ['introspection.http_address = "127.999.0.1:80"', 'must be a loopback address with a port'],
    ['tracing.endpoint = "http://[x"', 'must be an http or https address'],
    [`socket = "/${'s'.repeat(104)}"`, 'must have at most 104 bytes as the path of a socket, and has 105'],
    [
      `nri.socket = "/${'s'.repeat(104)}"`,
      'must have at most 104 bytes as the path of a socket, and has 105',
    ],
    ['socket = "troupe.sock"', 'must be an absolute path'],
    // TOML can write it, and no file has it
    [String.raw`root = "/a\u0000b"`, 'must be an absolute path'],
    [String.raw`socket = "/a\u0000b"`, 'must be an absolute path'],
    [String.raw`network.plugin_dirs = ["/a", "/\u0000"]`, 'must be a list of absolute paths'],
    [String.raw`runtime.monitor = "/a\u0000b"`, 'must be an absolute path, or the name of a program'],
    ['introspection.socket = "x.sock"', 'must be an absolute path'],
    ['nri.socket = "x.sock"', 'must be an absolute path'],
    ['nri.request_timeout_ms = 0', 'must be a whole number from 1'],
    ['nri.request_timeout_ms = "2s"', 'must be a whole number from 1'],
    ['runtime.monitor = "bin/conmon"', 'must be an absolute path, or the name of a program'],
    ['runtime.handlers.crun.path = "./crun"', 'must be an absolute path, or the name of a program'],
    ['storage.mount_program = "bin/fuse"', 'must be an absolute path, or the name of a program'],
    ['storage.driver = "zfs"', 'use overlay, which works on zfs 2.2 and later'],
    ['storage.driver = "ext4"', 'unknown driver; known drivers: overlay, '],
    ['storage.container_size = "10G"', 'must be a whole number from 1048576 on, or "unlimited"'],
    ['root = "var"', 'must be an absolute path'],
    ['network.plugin_dirs = ["opt/cni"]', 'must be a list of absolute paths'],
  ])('%s is reported with its key', (line, reason) => {
    const key = line.split(' ')[0] ?? '';
    expect(errorsOf(`${line}\n`)).toEqual([expect.stringContaining(`t.toml, line 1: ${key}: `)]);
    expect(errorsOf(`${line}\n`)[0]).toContain(reason);
  });

  it('is reported with all others, in the order of the lines', () => {
    const text = '[network]\ndefault_subnet = "foo"\n[log]\nlevel = "loud"\n[network.more]\n';
    expect(errorsOf(text).map((error) => error.split(': ').slice(0, 2).join(': '))).toEqual([
      't.toml, line 2: network.default_subnet',
      't.toml, line 4: log.level',
      't.toml, line 5: network.more',
    ]);
  });

  it('is one line alone, and a line each with others', () => {
    const problem = { file: 'f', line: 3, key: 'a.b', reason: 'must be c' };
    const one = new ConfigError([problem]);
    expect(errorLines(one, one.message)).toEqual(['read configuration f, line 3: a.b: must be c']);
    const two = new ConfigError([problem, { ...problem, line: undefined, key: '' }]);
    expect(errorLines(two, two.message)).toEqual([
      'read configuration: 2 errors',
      '  f, line 3: a.b: must be c',
      '  f: must be c',
    ]);
  });
});

describe('an unknown key', () => {
  it.each([
    ['[network]\ndefault_subnt = "x"\n', 'network.default_subnet'],
    ['[network]\ndefualt_bridge = "x"\n', 'network.default_bridge'],
    ['[runtime.handlers.crun]\nroto = "/x"\n', 'runtime.handlers.crun.root'],
    ['[metwork]\nname = "x"\n', 'network'],
    ['[storage]\ncontainer-size = 5\n', 'storage.container_size'],
    ['default_handler = "crun"\n', 'runtime.default_handler'],
    ['log_level = "info"\n', 'log.level'],
  ])('%j has a suggestion', (text, key) => {
    expect(errorsOf(text)).toEqual([expect.stringMatching(/no such key; did you mean \S+\?$/u)]);
    expect(errorsOf(text)[0]).toContain(`did you mean ${key}?`);
  });

  it.each(['speed = 3\n', '[log]\ncolour = 1\n', `${'x'.repeat(100_000)} = 1\n`])(
    '%# that is like none has no suggestion',
    (text) => expect(errorsOf(text)).toEqual([expect.stringMatching(/no such key$/u)]),
  );

  it('counts a swap of two letters as one change', () => {
    expect(nearestWord('lgo', ['log', 'root'])).toBe('log');
    expect(nearestWord('xyz', ['log', 'root'])).toBeUndefined();
  });
});

/** What is found of a main file, a drop-in and options. */
async function survey(main: string | Buffer, dropIn: string | Buffer = '', overrides: Overrides = {}) {
  const directory = mkdtempSync(join(tmpdir(), 'troupe-together-'));
  try {
    const file = join(directory, 't.toml');
    writeFileSync(file, main);
    mkdirSync(`${file}.d`);
    if (dropIn !== '') writeFileSync(join(`${file}.d`, '10.toml'), dropIn);
    const { config, own, dropIns } = await surveyConfig(file, true, overrides);
    const text = (one: Parameters<typeof problemText>[0]): string =>
      problemText(one).replace(`${directory}/`, '');
    return { config, own: own.map(text), dropIns: dropIns.map(text) };
  } finally {
    rmSync(directory, { recursive: true });
  }
}

it('a file in another encoding is refused, and a drop-in is left out: its paths would be other ones', async () => {
  const latin1 = Buffer.from('root = "/caf\u00e9"\n', 'latin1');
  expect(await survey(latin1)).toMatchObject({ own: ['t.toml: not UTF-8'], dropIns: [] });
  expect(await survey('root = "/caf\u00e9"\n', latin1)).toMatchObject({
    config: { root: '/caf\u00e9' },
    own: [],
    dropIns: ['t.toml.d/10.toml: not UTF-8'],
  });
});

describe('values that contradict each other', () => {
  it.each([
    ['[streaming]\ntls_cert = "/c"\n', 'line 2: streaming.tls_cert: set both a certificate and its key'],
    ['[metrics]\ntls_cert = "/c"\n', 'line 2: metrics.tls_cert: set both a certificate and its key'],
    [
      '[metrics]\naddress = "192.0.2.7:9095"\n',
      'line 2: metrics.address: 192.0.2.7:9095 is not a loopback address: set tls_cert, tls_key and tls_client_ca',
    ],
    [
      '[metrics]\ntls_cert = "/c"\ntls_key = "/k"\naddress = "[::]:9095"\n',
      'line 4: metrics.address: [::]:9095 is not a loopback address: set tls_cert, tls_key and tls_client_ca',
    ],
    ['[streaming]\ntls_key = "/c"\n', 'line 2: streaming.tls_key: set both a certificate and its key'],
    [
      '[streaming]\ntls_client_ca = "/c"\n',
      'line 2: streaming.tls_client_ca: set both a certificate and its key',
    ],
    [
      '[runtime]\ndefault_handler = "rucn"\n',
      'line 2: runtime.default_handler: rucn is not in runtime.handlers; did you mean runc?',
    ],
    [
      'runtime.default_handler = "auto"\nruntime.handlers.auto.path = "crun"\n',
      'line 1: runtime.default_handler: the word is for a choice between runc and crun, and a handler has it as its name',
    ],
    [
      '[runtime.rlimits.core]\nsoft = "unlimited"\nhard = 5\n',
      'line 1: runtime.rlimits.core: soft is above hard',
    ],
    [
      '[storage]\ndriver = "vfs"\ncontainer_size = 2000000\n',
      'line 3: storage.container_size: the storage driver vfs has no quotas',
    ],
    [
      '[storage]\ndriver = "fuse-overlayfs"\nmount_program = ""\n',
      'line 3: storage.mount_program: the storage driver fuse-overlayfs needs a program',
    ],
    [
      '[storage]\ndriver = "erofs"\nerofs_program = ""\n',
      'line 3: storage.erofs_program: the storage driver erofs needs a program',
    ],
  ])('%j is reported, in the file and in a drop-in, which changes nothing then', async (text, problem) => {
    expect(await survey(text)).toMatchObject({ own: [`t.toml, ${problem}`], dropIns: [] });
    const { config, own, dropIns } = await survey('', text);
    expect({ own, dropIns }).toEqual({ own: [], dropIns: [`t.toml.d/10.toml, ${problem}`] });
    const { runtime, streaming, storage } = config;
    expect([runtime.default_handler, runtime.rlimits, streaming.tls_cert, storage.container_size]).toEqual([
      defaultConfig.runtime.default_handler,
      {},
      '',
      'unlimited',
    ]);
  });

  it('begin with the driver of a drop-in, if only that one needs the program', async () => {
    const main = '[storage]\nmount_program = ""\nerofs_program = ""\n';
    expect(await survey(main)).toMatchObject({
      own: [],
      dropIns: [],
      config: { storage: { driver: 'overlay' } },
    });
    expect(await survey(main, 'storage.driver = "erofs"\n')).toMatchObject({
      own: [],
      dropIns: ['t.toml, line 3: storage.erofs_program: the storage driver erofs needs a program'],
      config: { storage: { driver: 'overlay' } },
    });
  });

  it('in the file do not count where a drop-in has the other half', async () => {
    expect(await survey('[streaming]\ntls_cert = "/c"\n', '[streaming]\ntls_key = "/k"\n')).toMatchObject({
      own: [],
      dropIns: [],
      config: { streaming: { tls_cert: '/c', tls_key: '/k' } },
    });
  });

  it('in the file and in a drop-in are reported each with its own value', async () => {
    const handler = (name: string): string => `runtime.default_handler = "${name}"\n`;
    const { own, dropIns } = await survey(handler('foo'), handler('bar'));
    expect([own, dropIns].flat()).toEqual([
      't.toml, line 1: runtime.default_handler: foo is not in runtime.handlers',
      't.toml.d/10.toml, line 1: runtime.default_handler: bar is not in runtime.handlers',
    ]);
    expect(await survey(handler('foo'), '[log]\nlevel = "debug"\n')).toMatchObject({
      own: ['t.toml, line 1: runtime.default_handler: foo is not in runtime.handlers'],
      dropIns: [],
    });
    expect(await survey(handler('foo'), handler('runc'))).toMatchObject({ own: [], dropIns: [] });
  });

  it('on the command line are reported with the option', async () => {
    const { own, config } = await surveyConfig('/no/such/file', false, { logLevel: 'loud', root: 'here' });
    expect(own.map(problemText)).toEqual([
      'command line: --root: here: must be an absolute path',
      'command line: --log-level: loud: must be one of trace, debug, info, warn, error',
    ]);
    expect([config.root, config.log.level]).toEqual([defaultConfig.root, defaultConfig.log.level]);
  });
});

describe('the path of the introspection socket', () => {
  // with /introspection.sock, 19 bytes, one byte too many
  const long = `/${'s'.repeat(85)}`;
  const reason = `${long}/introspection.sock must have at most 104 bytes as the path of a socket, and has 105, unless introspection.socket is set`;

  it('is measured where the state directory gives it', async () => {
    const main = `root = "/r"\nstate = "${long}"\n`;
    expect(await survey(main)).toMatchObject({ own: [`t.toml, line 2: state: ${reason}`], dropIns: [] });
    const { own, dropIns, config } = await survey('state = "/short"\n', main);
    expect([own, dropIns, config.state, config.root]).toEqual([
      [],
      [`t.toml.d/10.toml, line 2: state: ${reason}`],
      '/short',
      '/r',
    ]);
    expect(await survey(main, 'state = "/short"\n')).toMatchObject({ own: [], dropIns: [] });
    expect(await survey(main.replace('ss', 's'))).toMatchObject({ own: [], dropIns: [] });
    expect(await survey(`${main}introspection.socket = "/i"\n`)).toMatchObject({ own: [], dropIns: [] });
  });

  it('is measured with the options, as is the socket', async () => {
    const main = `state = "${long}"\n`;
    expect(await survey(main, '', { state: '/short' })).toMatchObject({ own: [], dropIns: [] });
    expect(await survey('', '', { state: long })).toMatchObject({
      own: [`command line: --state: ${reason}`],
    });
    const { own, config } = await survey('', '', { socket: `/${'s'.repeat(104)}` });
    expect(own).toEqual([
      `command line: --socket: /${'s'.repeat(104)}: must have at most 104 bytes as the path of a socket, and has 105`,
    ]);
    expect(config.socket).toBe(defaultConfig.socket);
  });
});

it('F95: of another tool’s file the first errors have their lines, and the rest is counted', () => {
  const most = configLimits.problems;
  const text = Array.from({ length: 3 * most }, (_one, at) => `foreign${at} = 1\n`).join('');
  const errors = errorsOf(`${text}log.levl = "info"\n`);
  expect(errors.length).toBe(most + 1);
  expect(errors[0]).toBe('t.toml, line 1: foreign0: no such key');
  expect(errors.at(-1)).toBe(`t.toml: ${2 * most + 1} more errors`);
});
