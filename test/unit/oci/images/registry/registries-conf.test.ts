import { describe, expect, it } from 'vitest';
import { parseReference } from '../../../../../src/oci/images/model/reference.ts';
import {
  candidates,
  endpointsOf,
  insecureHosts,
  type Endpoint,
} from '../../../../../src/oci/images/registry/endpoints.ts';
import {
  emptyRegistriesConf,
  hasRefusals,
  mergeRegistriesConf,
  parseRegistriesConf,
  type RegistriesConf,
} from '../../../../../src/oci/images/registry/registries-conf.ts';
import { formatReference } from '../../../../../src/oci/images/model/reference.ts';
import { refusalBy } from '../../../../support/fault-of.ts';

const DIGEST = `sha256:${'a'.repeat(64)}`;
const conf = (text: string): RegistriesConf => parseRegistriesConf(text, 'r.conf');

const show = ({ host, repository, insecure, mirror }: Endpoint): string =>
  `${mirror ? 'mirror ' : ''}${host}/${repository}${insecure ? ' insecure' : ''}`;
const endpoints = (reference: string, text: string): readonly string[] =>
  endpointsOf(parseReference(reference), conf(text)).map(show);

describe('endpoints of a reference', () => {
  it('Docker Hub has another name for its registry', () => {
    expect(endpoints('busybox', '')).toEqual(['registry-1.docker.io/library/busybox']);
  });

  it('F66 mirrors come in order, then the registry itself', () => {
    const text = `
      [[registry]]
      prefix = "docker.io"
      [[registry.mirror]]
      location = "127.0.0.1:5000"
      insecure = true
      [[registry.mirror]]
      location = "m.example/cache"`;
    expect(endpoints('busybox:1', text)).toEqual([
      'mirror 127.0.0.1:5000/library/busybox insecure',
      'mirror m.example/cache/library/busybox',
      'registry-1.docker.io/library/busybox',
    ]);
  });

  it('the longest prefix is used, up to a separator only', () => {
    const text = `
      [[registry]]
      prefix = "r.example/foo"
      location = "a.example/x"
      [[registry]]
      prefix = "r.example/foo/bar"
      location = "b.example"
      [[registry]]
      location = "r.example"
      insecure = true`;
    expect(endpoints('r.example/foo/bar/baz', text)).toEqual(['b.example/baz']);
    expect(endpoints('r.example/foo/other', text)).toEqual(['a.example/x/other']);
    expect(endpoints('r.example/foobar', text)).toEqual(['r.example/foobar insecure']);
    expect(endpoints('r.example:5000/foo/bar', text)).toEqual(['r.example:5000/foo/bar']);
    expect(endpoints('r.example.evil/foo', text)).toEqual(['r.example.evil/foo']);
    expect(refusalBy(() => endpoints('r.example/foo/bar', text))).toContain('without a repository');
  });

  it('wildcards match any depth of subdomain, not the domain', () => {
    const text =
      '[[registry]]\nprefix = "*.example"\ninsecure = true\n[[registry]]\nprefix = "*.b.example"\nlocation = "c.test/p"';
    expect(endpoints('a.example/x', text)).toEqual(['a.example/x insecure']);
    expect(endpoints('a.b.example:5000/x', text)).toEqual(['c.test/p/x']);
    expect(endpoints('xexample.test/x', text)).toEqual(['xexample.test/x']);
  });

  it('a prefix may name one image', () => {
    const text = `[[registry]]\nprefix = "r.example/a:1"\nlocation = "s.example/a"\n[[registry]]\nprefix = "r.example/a@${DIGEST}"\nlocation = "t.example/a"`;
    expect(endpoints('r.example/a:1', text)).toEqual(['s.example/a']);
    expect(endpoints('r.example/a:12', text)).toEqual(['r.example/a']);
    expect(endpoints(`r.example/a@${DIGEST}`, text)).toEqual(['t.example/a']);
  });

  it('mirrors for digests only and for tags only', () => {
    const text = `
      [[registry]]
      location = "r.example"
      mirror = [
        { location = "d.example", pull-from-mirror = "digest-only" },
        { location = "t.example", pull-from-mirror = "tag-only" },
        { location = "a.example", pull-from-mirror = "all" },
      ]
      [[registry]]
      location = "s.example"
      mirror-by-digest-only = true
      [[registry.mirror]]
      location = "m.example"`;
    expect(endpoints('r.example/x:1', text)).toEqual([
      'mirror t.example/x',
      'mirror a.example/x',
      'r.example/x',
    ]);
    expect(endpoints(`r.example/x@${DIGEST}`, text)).toEqual([
      'mirror d.example/x',
      'mirror a.example/x',
      'r.example/x',
    ]);
    expect(endpoints('s.example/x:1', text)).toEqual(['s.example/x']);
    expect(endpoints(`s.example/x@${DIGEST}`, text)).toEqual(['mirror m.example/x', 's.example/x']);
  });

  it('a blocked registry is refused by its rule', () => {
    const text = '[[registry]]\nprefix = "r.example/bad"\nblocked = true';
    expect(refusalBy(() => endpoints('r.example/bad/x', text))).toBe(
      'denied: pull r.example/bad/x:latest: registries.conf blocks r.example/bad',
    );
    expect(endpoints('r.example/good', text)).toEqual(['r.example/good']);
  });

  it('only the mirrors of a blocked registry are asked', () => {
    const text = `[[registry]]
prefix = ""
location = "q.example/"
blocked = true
[[registry.mirror]]
location = "m.example:5000/q/"
pull-from-mirror = "digest-only"`;
    expect(endpoints(`q.example/a/x@${DIGEST}`, text)).toEqual(['mirror m.example:5000/q/a/x']);
    expect(refusalBy(() => endpoints('q.example/a/x', text))).toBe(
      'denied: pull q.example/a/x:latest: registries.conf blocks q.example',
    );
  });

  it('insecure hosts are those that the operator names', () => {
    const text =
      '[[registry]]\nlocation = "a.example:1/p"\ninsecure = true\n[[registry]]\nlocation = "b.example"\nmirror = [{ location = "c.example", insecure = true }]';
    expect([...insecureHosts(conf(text))]).toEqual(['a.example:1', 'c.example']);
  });
});

describe('short names', () => {
  const names = (text: string, config: string): readonly string[] =>
    candidates(text, conf(config)).map(formatReference);

  it('mean docker.io unless search registries are configured', () => {
    expect(names('busybox', '')).toEqual(['docker.io/library/busybox:latest']);
    expect(names('busybox:1', 'unqualified-search-registries = ["q.example", "docker.io"]')).toEqual([
      'q.example/busybox:1',
      'docker.io/library/busybox:1',
    ]);
    expect(names('r.example/x', 'unqualified-search-registries = ["q.example"]')).toEqual([
      'r.example/x:latest',
    ]);
  });

  it('are refused where there is nothing to search, or nobody to ask', () => {
    expect(refusalBy(() => names('busybox', 'unqualified-search-registries = []'))).toContain('is empty');
    const enforcing =
      'unqualified-search-registries = ["a.example", "b.example"]\nshort-name-mode = "enforcing"';
    expect(refusalBy(() => names('busybox', enforcing))).toContain('enforcing');
  });

  it('aliases come first and keep tag and digest', () => {
    const text =
      'unqualified-search-registries = ["q.example"]\n[aliases]\n"alma" = "quay.example/org/alma"\n"a/b" = "docker.io/library/b"';
    expect(names('alma:9', text)).toEqual(['quay.example/org/alma:9']);
    expect(names(`a/b@${DIGEST}`, text)).toEqual([`docker.io/library/b@${DIGEST}`]);
  });
});

describe('drop-in files', () => {
  it('replace rules of the same prefix, the search list, and aliases one by one', () => {
    const merged = mergeRegistriesConf([
      emptyRegistriesConf,
      conf(
        'unqualified-search-registries = ["a.example"]\nshort-name-mode = "disabled"\n[[registry]]\nlocation = "x.example"\ninsecure = true\n[[registry]]\nlocation = "y.example"\n[aliases]\np = "a.example/p"\nq = "a.example/q"',
      ),
      conf(
        'unqualified-search-registries = ["b.example"]\n[[registry]]\nlocation = "x.example"\n[aliases]\nq = ""',
      ),
    ]);
    expect(merged.searchRegistries).toEqual(['b.example']);
    expect(merged.shortNameMode).toBe('disabled');
    expect(merged.rules.map(({ prefix, insecure }) => [prefix, insecure])).toEqual([
      ['x.example', false],
      ['y.example', false],
    ]);
    expect(candidates('p', merged).map(formatReference)).toEqual(['a.example/p:latest']);
    expect(candidates('q', merged).map(formatReference)).toEqual(['b.example/q:latest']);
  });
});

describe('F95 errors are reported with their line', () => {
  it('S61 a key of many thousand parts is an ordinary unknown key', () => {
    expect(conf(`${'a.'.repeat(60_000)}b = 1`).problems.get('r.conf')).toBe('line 1: unknown key "a"');
  });

  it.each([
    ['syntax', 'a = 1\nb = [\n', 'line 3:'],
    ['unknown key', '# c\n\nunknown = 1', 'line 3: unknown key "unknown"'],
    ['version 1', '[registries.search]\nregistries = ["x"]', 'line 1: unknown key "registries"'],
    [
      'unknown key of the second registry',
      '[[registry]]\nlocation = "a.example"\n[[registry]]\nlocation = "b.example"\nfoo = 1',
      'line 5: unknown key "foo"',
    ],
    [
      'unknown key of a mirror',
      '[[registry]]\nlocation = "a.example"\n[[registry.mirror]]\nlocation = "m.example"\n\n"bar" = 1',
      'line 6: unknown key "bar"',
    ],
    [
      'unknown key of the second mirror of the second registry',
      '[[registry]]\nlocation = "a.example"\n[[registry.mirror]]\nlocation = "m.example"\n[[registry]]\nlocation = "b.example"\n[[registry.mirror]]\nlocation = "m.example"\n[[registry.mirror]]\nlocation = "n.example"\nx = 1',
      'line 11: unknown key "x"',
    ],
    [
      'unknown key in an inline table',
      '[[registry]]\nlocation = "a.example"\nmirror = [{ location = "m.example", baz = 1 }]',
      'line 3: unknown key "baz"',
    ],
    [
      'wrong type',
      '[[registry]]\nlocation = "a.example"\ninsecure = "true"',
      'line 3: insecure: is neither true nor false',
    ],
    [
      'wrong word',
      '[[registry]]\nlocation = "a.example"\n[[registry.mirror]]\nlocation = "m.example"\npull-from-mirror = "some"',
      'line 5: pull-from-mirror: some is not one of',
    ],
    [
      'pull-from-mirror beside mirror-by-digest-only',
      '[[registry]]\nlocation = "a.example"\nmirror-by-digest-only = true\n[[registry.mirror]]\nlocation = "m.example"\npull-from-mirror = "all"',
      'line 6: pull-from-mirror:',
    ],
    ['a URL as location', '[[registry]]\nlocation = "https://a.example"', 'line 2: location:'],
    [
      'a tag in a location',
      '[[registry]]\nprefix = "a.example"\nlocation = "b.example/x:1"',
      'line 3: location:',
    ],
    ['a wildcard in the middle', '[[registry]]\nprefix = "a.*.example"', 'line 2: prefix:'],
    ['a wildcard with a path', '[[registry]]\nprefix = "*.example/x"', 'line 2: prefix:'],
    ['neither prefix nor location', '[[registry]]\ninsecure = true', 'neither prefix nor location'],
    [
      'the same prefix twice',
      '[[registry]]\nprefix = "a.example"\n[[registry]]\nprefix = "A.example"',
      'line 4: prefix:',
    ],
    [
      'registry as a table',
      '[registry]\nlocation = "a.example"',
      'line 1: registry: is not a list of tables',
    ],
    [
      'a mirror without location',
      '[[registry]]\nlocation = "a.example"\n[[registry.mirror]]\ninsecure = true',
      'location: "" is not',
    ],
    [
      'a bad search registry',
      'unqualified-search-registries = ["a b"]',
      'line 1: unqualified-search-registries:',
    ],
    ['a credential helper', 'credential-helpers = ["secretservice"]', 'line 1: credential-helpers:'],
    ['an alias with a tag', '[aliases]\n"x" = "a.example/x:1"', 'line 2: x:'],
    ['an alias for a name with a host', '[aliases]\n"a.example/x" = "b.example/x"', 'line 2: a.example/x:'],
    [
      'S61 __proto__',
      '[[registry]]\nlocation = "a.example"\n__proto__ = 1',
      'line 3: unknown key "__proto__"',
    ],
  ])('%s', (_name, text, words) => {
    expect([...conf(text).problems.keys()]).toEqual(['r.conf']);
    expect(conf(text).problems.get('r.conf')).toContain(words);
  });

  it('an unknown key and an unknown helper change nothing else', () => {
    const text =
      'new-key = 1\ncredential-helpers = ["secretservice"]\n[[registry]]\nlocation = "r.example"\nfoo = 1\n[[registry.mirror]]\nlocation = "m.example"\n';
    expect(endpoints('r.example/x', text)).toEqual(['mirror m.example/x', 'r.example/x']);
    expect(hasRefusals(conf(text))).toBe(false);
    expect(conf(text).problems.get('r.conf')).toBe('line 1: unknown key "new-key"; and 2 more');
  });

  it('an invalid rule refuses its own images, and no others', () => {
    const text =
      '[[registry]]\nlocation = "r.example"\nblocked = "yes"\n[[registry]]\nlocation = "ok.example"\ninsecure = true\n';
    expect(refusalBy(() => endpoints('r.example/x', text))).toBe(
      'denied: pull r.example/x:latest: r.conf: line 3: blocked: is neither true nor false',
    );
    expect(endpoints('ok.example/x', text)).toEqual(['ok.example/x insecure']);
    expect(endpoints('other.example/x', text)).toEqual(['other.example/x']);
  });

  it('a torn file, and a blocking rule with an unknown scope, refuse every pull', () => {
    for (const text of [
      '[[registry]]\nlocation = "r.exam',
      '[[registry]]\nprefix = "a.*.example"\nblocked = true',
    ]) {
      expect(refusalBy(() => endpoints('other.example/x', text))).toContain(
        'denied: pull other.example/x:latest: r.conf: line 2:',
      );
      expect(refusalBy(() => candidates('busybox', conf(text)))).toContain(
        'denied: resolve image busybox: it is a short name, and r.conf: line 2:',
      );
    }
  });

  it('invalid aliases and search lists refuse short names, and nothing else', () => {
    const text = 'short-name-mode = "strict"\n[aliases]\nalma = "quay.example/org/alma"\n';
    expect(refusalBy(() => candidates('alma', conf(text)))).toContain(
      'r.conf: line 1: short-name-mode: strict is not one of',
    );
    expect(endpoints('r.example/x', text)).toEqual(['r.example/x']);
  });
});
