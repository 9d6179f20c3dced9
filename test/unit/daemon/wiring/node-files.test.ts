// Each file of the node that we only read, bad in each way: named in a condition with its line, and no longer once it
// is good.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Conditions } from '../../../../src/base/conditions.ts';
import { silentLog } from '../../../../src/base/log.ts';
import { defaultConfig } from '../../../../src/daemon/config/config-schema.ts';
import type { Config } from '../../../../src/daemon/config/config-schema.ts';
import { NodeFiles, watchNodeFiles } from '../../../../src/daemon/wiring/node-files.ts';
import { realClock } from '../../../../src/host/clock/clock.ts';
import { loadConfDir } from '../../../../src/network/conf-dir.ts';
import { LiveRegistries } from '../../../../src/oci/images/registry/live-registries.ts';
import { injects } from '../../../support/faults/injects.ts';
import { HandClock } from '../../../support/hand-clock.ts';
import { turns } from '../../../support/turns.ts';

const badText = injects('F95', 'an unknown key, a torn end or a wrong type in a file of the node');
const badKind = injects('F95', 'a FIFO or 20 MiB in the place of a file of the node');

let root: string;
let conditions: Conditions;
let files: NodeFiles | undefined;
let live: LiveRegistries | undefined;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'troupe-node-files-'));
  conditions = new Conditions(silentLog);
});

afterEach(() => {
  files?.close();
  live?.close();
  rmSync(root, { recursive: true });
});

const at = (path: string): string => join(root, path);

function configHere(): Config {
  return {
    ...defaultConfig,
    images: {
      ...defaultConfig.images,
      registries_conf: at('registries.conf'),
      registries_conf_dir: at('registries.conf.d'),
      registries_d: at('registries.d'),
      signature_policy: at('policy.json'),
      signature_policy_dir: at('policy.d'),
      auth_files: [at('auth.json')],
      certs_dirs: [at('certs.d')],
    },
    runtime: { ...defaultConfig.runtime, cdi_dirs: [at('cdi')], hooks_dirs: [at('hooks.d')] },
  };
}

/** What Status would say of the files below the root, after one scan. */
async function scanned(): Promise<Readonly<Record<string, string>>> {
  const clock = realClock();
  const config = configHere();
  live ??= new LiveRegistries({ setTimeout: () => 0 as never, clearTimeout: () => undefined }, silentLog);
  (
    await live.prepare({ file: config.images.registries_conf, directory: config.images.registries_conf_dir })
  )();
  const { skipped } = await loadConfDir(at('net.d'));
  const network = {
    problems: () => new Map(skipped.map(({ file, reason }) => [at(`net.d/${file}`), reason])),
  };
  files?.close();
  files = watchNodeFiles(() => config, { live, network, conditions, clock });
  await files.scan();
  const ours = conditions.all().filter(({ subject }) => subject.startsWith(root));
  return Object.fromEntries(ours.map(({ subject, reason }) => [subject.slice(root.length + 1), reason]));
}

const CDI = (more: string): string =>
  `{"cdiVersion":"0.6.0","kind":"v.example/c",${more}"devices":[{"name":"d","containerEdits":{"env":["A=b"]}}]}`;
const HOOK = (more: string): string =>
  `{"version":"1.0.0","hook":{"path":"/bin/true"},"when":{"always":true},${more}"stages":["prestart"]}`;
const POLICY = (more: string): string => `{${more}"default":[{"type":"insecureAcceptAnything"}]}`;
const CNI = '{"cniVersion":"1.0.0","name":"n","plugins":[{"type":"bridge"}]}';

interface Kind {
  readonly path: string;
  readonly good: string;
  /** Undefined where the format has others pass it over. */
  readonly unknownKey?: readonly [text: string, reason: RegExp];
  readonly torn: readonly [text: string, reason: RegExp];
  readonly wrongType: readonly [text: string, reason: RegExp];
}

const REGISTRIES: Omit<Kind, 'path'> = {
  good: '[[registry]]\nlocation = "r.example"\n',
  unknownKey: ['a-key = 1\n', /^line 1: unknown key "a-key"$/u],
  torn: ['[[registry]]\nlocation = "r.exam', /^line 2: /u],
  wrongType: [
    '[[registry]]\nlocation = "r.example"\nblocked = "yes"\n',
    /^line 3: blocked: is neither true nor false$/u,
  ],
};

const KINDS: readonly Kind[] = [
  { path: 'registries.conf', ...REGISTRIES },
  { path: 'registries.conf.d/10.conf', ...REGISTRIES },
  {
    path: 'auth.json',
    good: '{"auths":{}}',
    torn: ['{\n"auths": {', /character .* \(line 2\)$/u],
    wrongType: ['{"auths":{"r.example":{"auth":7}}}', /^auths of r\.example: auth is not a string$/u],
  },
  {
    path: 'policy.json',
    good: POLICY(''),
    unknownKey: [POLICY('"a":1,'), /a\b/u],
    torn: ['{"default":\n[', /\(line 2\)$/u],
    wrongType: ['{"default":7}', /default/u],
  },
  {
    path: 'policy.d/team.json',
    good: POLICY(''),
    unknownKey: [POLICY('"a":1,'), /a\b/u],
    torn: ['{', /character/u],
    wrongType: ['7', /object/u],
  },
  {
    path: 'registries.d/a.yaml',
    good: 'docker: {}\n',
    torn: ['docker: {\n  "a', /line \d/u],
    wrongType: ['docker:\n  r.example:\n    lookaside: 7\n', /lookaside/u],
  },
  {
    path: 'cdi/v.json',
    good: CDI(''),
    unknownKey: [CDI('"a":1,'), /\ba\b/u],
    torn: [CDI('').slice(0, -3), /character/u],
    wrongType: ['{"cdiVersion":7}', /cdiVersion/u],
  },
  {
    path: 'hooks.d/a.json',
    good: HOOK(''),
    unknownKey: [HOOK('"a":1,'), /\ba\b/u],
    torn: [HOOK('').slice(0, -3), /character/u],
    wrongType: [HOOK('').replace('"1.0.0"', '7'), /version/u],
  },
  {
    path: 'net.d/10.conflist',
    good: CNI,
    torn: [CNI.slice(0, -3), /./u],
    wrongType: ['{"cniVersion":"1.0.0","name":"n","plugins":7}', /plugins/u],
  },
];

function plant(path: string, text: string): void {
  mkdirSync(dirname(at(path)), { recursive: true });
  rmSync(at(path), { recursive: true, force: true });
  writeFileSync(at(path), text);
}

const WAYS = KINDS.flatMap((kind) =>
  (['unknownKey', 'torn', 'wrongType'] as const).flatMap((way) => {
    const bad = kind[way];
    return bad === undefined ? [] : [{ path: kind.path, good: kind.good, way, text: bad[0], reason: bad[1] }];
  }),
);

describe('F95 a file of the node', () => {
  it.each(WAYS)(
    '$path, $way: is reported with the reason until it is valid',
    async ({ path, good, text, reason }) => {
      plant(path, text);
      expect(await scanned()).toEqual({ [path]: expect.stringMatching(reason) });
      badText.happened();
      plant(path, good);
      expect(await scanned()).toEqual({});
    },
  );

  it.each(KINDS)(
    '$path as a FIFO, a directory or a large file is reported without a wait',
    async ({ path, good }) => {
      plant(path, '');
      rmSync(at(path));
      execFileSync('mkfifo', [at(path)]);
      expect(Object.keys(await scanned())).toEqual([path]);
      plant(path, ' '.repeat(20 * 1024 * 1024));
      expect(Object.keys(await scanned())).toEqual([path]);
      badKind.happened(2);
      plant(path, good);
      expect(await scanned()).toEqual({});
    },
  );

  it('certificates of a registry are reported by their directory', async () => {
    plant('certs.d/r.example/client.cert', 'not a certificate');
    expect(await scanned()).toEqual({
      'certs.d/r.example': expect.stringContaining('the key file client.key was not found'),
    });
    plant('certs.d/r.example/client.key', 'not a key');
    expect(Object.keys(await scanned())).toEqual(['certs.d/r.example']);
    rmSync(at('certs.d'), { recursive: true });
    expect(await scanned()).toEqual({});
  });

  it('a credential helper that is not installed is reported with its file', async () => {
    plant('auth.json', '{"credHelpers":{"r.example":"not-here"}}');
    expect(await scanned()).toEqual({
      'auth.json': 'credential helper docker-credential-not-here: not found',
    });
  });

  it('several bad files are each reported', async () => {
    for (const { path, torn } of KINDS) plant(path, torn[0]);
    expect(Object.keys(await scanned()).toSorted()).toEqual(KINDS.map(({ path }) => path).toSorted());
  });

  it('a file whose read hangs does not stop the report of others', async () => {
    const clock = new HandClock();
    files = new NodeFiles({
      conditions,
      clock,
      checks: { slow: () => new Promise(() => undefined), quick: () => new Map([['/a', 'torn']]) },
    });
    const scan = files.scan();
    await turns();
    // only the bound of the one that has not ended is still in force
    clock.fire();
    await turns();
    expect(conditions.all().map(({ subject }) => subject)).toEqual(['slow', '/a']);
    await scan;
  });

  it('F89 a hanging read is not repeated before it ends, and holds one thread', async () => {
    const clock = new HandClock();
    const begun: PromiseWithResolvers<Map<string, string>>[] = [];
    const slow = (): Promise<Map<string, string>> => {
      const next = Promise.withResolvers<Map<string, string>>();
      begun.push(next);
      return next.promise;
    };
    files = new NodeFiles({ conditions, clock, checks: { slow } });
    const first = files.scan();
    await turns();
    clock.fire();
    await first;
    const second = files.scan();
    await turns();
    expect([begun.length, conditions.all().map(({ subject }) => subject)]).toEqual([1, ['slow']]);
    await second;
    begun[0]?.resolve(new Map());
    await turns();
    const third = files.scan();
    await turns();
    begun[1]?.resolve(new Map());
    await third;
    expect([begun.length, conditions.all()]).toEqual([2, []]);
  });

  it('our own drop-ins without effect are reported until the next reload', async () => {
    files = new NodeFiles({ conditions, clock: realClock(), checks: {} });
    files.noteOwn(new Map([['/etc/t.d/a.toml', 'line 1: x: no such key']]));
    await files.scan();
    expect(conditions.all()).toEqual([
      { type: 'NodeFilesUsable', subject: '/etc/t.d/a.toml', reason: 'line 1: x: no such key' },
    ]);
    files.noteOwn(new Map());
    await files.scan();
    expect(conditions.all()).toEqual([]);
  });
});
