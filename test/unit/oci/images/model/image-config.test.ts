import { describe, expect, it } from 'vitest';
import {
  checkLayerCount,
  parseImageConfig,
  type ParsedImageConfig,
} from '../../../../../src/oci/images/model/image-config.ts';
import { parseImageUser } from '../../../../../src/oci/documents/image-user.ts';
import { refusalBy } from '../../../../support/fault-of.ts';

const DIFF = `sha256:${'d'.repeat(64)}`;
const base = { architecture: 'amd64', os: 'linux', rootfs: { type: 'layers', diff_ids: [DIFF] } };

function parse(document: object | string): ParsedImageConfig {
  return parseImageConfig(
    Buffer.from(typeof document === 'string' ? document : JSON.stringify(document)),
    'config c',
  );
}

const withConfig = (config: object): string => refusalBy(() => parse({ ...base, config }));

describe('image configs', () => {
  it('S17 a config that is also a manifest is refused, since an artifact has the id of its manifest', () => {
    expect(
      refusalBy(() =>
        parse({
          ...base,
          schemaVersion: 2,
          mediaType: 'application/vnd.oci.image.manifest.v1+json',
          layers: [],
        }),
      ),
    ).toContain('schemaVersion is not allowed in a config: the document is ambiguous');
  });

  it('are read whole', () => {
    const parsed = parse({
      ...base,
      variant: 'v2',
      created: '2026-01-01T00:00:00Z',
      history: [{ created_by: 'x' }],
      config: {
        User: '1000:www-data',
        Env: ['PATH=/bin', 'EMPTY=', 'A=b=c'],
        Entrypoint: ['/init'],
        Cmd: ['a', ''],
        WorkingDir: '/srv',
        StopSignal: 'SIGRTMIN+3',
        Volumes: { '/data/': {}, '/a/../../b': {}, '//data': {}, rel: {} },
        Labels: { x: 'y' },
        ExposedPorts: { '80/tcp': {} },
        Healthcheck: { Test: ['NONE'], Interval: 30_000_000_000 },
      },
    });
    expect(parsed).toEqual({
      os: 'linux',
      architecture: 'amd64',
      variant: 'v2',
      created: '2026-01-01T00:00:00Z',
      diffIds: [DIFF],
      user: '1000:www-data',
      env: ['PATH=/bin', 'EMPTY=', 'A=b=c'],
      entrypoint: ['/init'],
      cmd: ['a', ''],
      workingDir: '/srv',
      stopSignal: 'SIGRTMIN+3',
      volumes: ['/b', '/data', '/rel'],
      labels: { x: 'y' },
      exposedPorts: ['80/tcp'],
    });
    expect(Object.isFrozen(parsed) && Object.isFrozen(parsed.env) && Object.isFrozen(parsed.labels)).toBe(
      true,
    );
  });

  it('labels are bounded in total only, since buildpacks keep one of 200 KiB', () => {
    const label = 'x'.repeat(200 * 1024);
    expect(parse({ ...base, config: { Labels: { a: label } } }).labels['a']).toBe(label);
    const many = Object.fromEntries(['a', 'b', 'c', 'd', 'e', 'f'].map((name) => [name, label]));
    expect(withConfig({ Labels: many })).toContain('config.Labels has more than 1048576 bytes');
  });

  it('other names of architectures, and a root file system without a type, are accepted', () => {
    expect(parse({ ...base, architecture: 'x86_64', os: 'Linux' })).toMatchObject({
      architecture: 'amd64',
      os: 'linux',
    });
    expect(parse({ ...base, rootfs: { diff_ids: [DIFF] } }).diffIds).toEqual([DIFF]);
  });

  it('null and missing fields are empty', () => {
    const empty = parse({ ...base, config: null });
    const nulls = parse({
      ...base,
      config: { Env: null, Cmd: null, Entrypoint: null, Volumes: null, Labels: null, User: null },
    });
    expect(nulls).toEqual(empty);
    expect(empty).toMatchObject({ env: [], cmd: [], entrypoint: [], volumes: [], user: '', workingDir: '' });
  });

  it.each([
    ['env without =', { Env: ['A=1', 'NOEQUALS'] }, 'config.Env[1] is not NAME=value'],
    ['env without a name', { Env: ['=x'] }, 'config.Env[0]'],
    ['empty env', { Env: [''] }, 'config.Env[0]'],
    ['env with NUL', { Env: ['A=\0'] }, 'config.Env[0] holds a NUL'],
    ['env of numbers', { Env: [1] }, 'config.Env[0] is not a string'],
    ['env as text', { Env: 'A=1' }, 'config.Env is not a list'],
    ['one huge entry', { Env: [`A=${'x'.repeat(128 * 1024)}`] }, 'config.Env[0] is longer'],
    ['S28 many entries', { Env: Array.from({ length: 5000 }, () => 'A=1') }, 'config.Env has 5000 entries'],
    [
      'S28 many bytes',
      { Env: Array.from({ length: 20 }, () => `A=${'x'.repeat(100_000)}`) },
      'config.Env has more than 1048576 bytes',
    ],
    [
      'S28 many bytes of labels',
      {
        Labels: Object.fromEntries(
          Array.from({ length: 20 }, (_none, at) => [`l${at}`, 'x'.repeat(100_000)]),
        ),
      },
      'config.Labels has more than 1048576 bytes',
    ],
    [
      'S28 many labels',
      { Labels: Object.fromEntries(Array.from({ length: 5000 }, (_none, at) => [`l${at}`, ''])) },
      'config.Labels has 5000 entries',
    ],
    [
      'S28 a config of more than 4 MiB',
      { Comment: 'x'.repeat(5 * 1024 ** 2) },
      'more than the 4194304 allowed',
    ],
    ['cmd with NUL', { Cmd: ['a\0b'] }, 'config.Cmd[0]'],
    ['relative working directory', { WorkingDir: 'x' }, 'config.WorkingDir'],
    ['bad stop signal', { StopSignal: 'SIG TERM;' }, 'config.StopSignal'],
    ['the root as volume', { Volumes: { '/..': {} } }, 'config.Volumes'],
    ['labels as list', { Labels: [] }, 'config.Labels is not an object'],
    ['label of a number', { Labels: { a: 1 } }, 'config.Labels.a'],
    ['a key in another case', { env: ['A=1'] }, 'config.env differs only in case from Env'],
  ])('refuses %s', (_name, config, words) => {
    expect(withConfig(config)).toContain(words);
  });

  it.each([
    ['S56 without rootfs', { os: 'linux' }, 'rootfs is missing'],
    ['S56 without layers', { ...base, rootfs: { type: 'layers', diff_ids: [] } }, 'rootfs.diff_ids is empty'],
    ['of another kind', { ...base, rootfs: { type: 'x', diff_ids: [DIFF] } }, 'rootfs.type'],
    [
      'S47 with a bad diff-id',
      { ...base, rootfs: { type: 'layers', diff_ids: ['sha256:../x'] } },
      'rootfs.diff_ids[0]',
    ],
    [
      'S59 with 10000 layers',
      { ...base, rootfs: { type: 'layers', diff_ids: Array.from({ length: 10_000 }, () => DIFF) } },
      'has 10000',
    ],
  ])('refuses one %s', (_name, document, words) => {
    expect(refusalBy(() => parse(document))).toContain(words);
  });

  it('S61 labels __proto__ and constructor are ordinary labels', () => {
    const text = JSON.stringify({ ...base, config: { Labels: {} } }).replace(
      '"Labels":{}',
      '"Labels":{"__proto__":"x","constructor":"y"}',
    );
    const { labels } = parse(text);
    expect(Object.entries(labels)).toEqual([
      ['__proto__', 'x'],
      ['constructor', 'y'],
    ]);
    expect(Object.getPrototypeOf(labels)).toBeNull();
  });

  it('F67 the number of diff-ids must match the layers', () => {
    expect(refusalBy(() => checkLayerCount(parse(base), 2, 'config c'))).toContain(
      'lists 1 layers, the manifest 2',
    );
    expect(refusalBy(() => checkLayerCount(parse(base), 1, 'config c'))).toBe('accepted');
  });
});

describe('S25 USER of an image', () => {
  it.each<[string, object]>([
    ['', { user: undefined, group: undefined }],
    ['0', { user: 0, group: undefined }],
    ['0001', { user: 1, group: undefined }],
    ['2147483647:2147483647', { user: 2_147_483_647, group: 2_147_483_647 }],
    ['www-data', { user: 'www-data', group: undefined }],
    ['1000:', { user: 1000, group: undefined }],
    [':1000', { user: undefined, group: 1000 }],
    ['a:b', { user: 'a', group: 'b' }],
    ['machine$', { user: 'machine$', group: undefined }],
  ])('%j is accepted', (text, wanted) => {
    expect(parseImageUser(text)).toEqual(wanted);
  });

  it.each([
    '4294967296',
    '2147483648',
    '2147483648:0',
    '0:2147483648',
    '-1',
    '1e9',
    '0x0',
    '+0',
    ' 0',
    '0 ',
    '0\n',
    '9'.repeat(100),
    '1:2:3',
    '1.0',
    '٠',
    'a b',
    'a/b',
    '-a',
    '\0',
    '0abc',
  ])('%j is refused', (text) => {
    expect(parseImageUser(text)).toBeUndefined();
    expect(withConfig({ User: text })).toContain('config.User');
  });
});
