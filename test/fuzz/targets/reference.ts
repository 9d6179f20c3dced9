/** Image references: an accepted one is safe in a URL and in a path, and means one thing (S47). */
import { isIPv6 } from 'node:net';
import type { Random } from '../../sim/random.ts';
import { parseRegistriesConf } from '../../../src/oci/images/registry/registries-conf.ts';
import { candidates, endpointsOf } from '../../../src/oci/images/registry/endpoints.ts';
import type { ImageReference } from '../../../src/oci/images/model/reference.ts';
import { formatReference, parseReference } from '../../../src/oci/images/model/reference.ts';
import { mutateBytes } from '../mutate.ts';
import type { Stage, Target, Verdict } from '../target.ts';
import { expectRefusal, violated } from '../target.ts';

const HEX = '0123456789abcdef'.repeat(4);
const HOSTS = [
  '',
  'localhost/',
  'localhost:5000/',
  'r.example/',
  'R.Example:443/',
  '127.0.0.1:5000/',
  '[::1]:5000/',
  '[fe80::1]/',
  'docker.io/',
  'index.docker.io/',
  'a..b/',
  '-a.b/',
  'x_y.z/',
  'r.example:65536/',
  'r.example:0/',
  'user@r.example/',
  'r.example:80:80/',
  'é.example/',
];
const PATHS = [
  'busybox',
  'library/busybox',
  'a/b/c/d',
  'team/app_x',
  'a__b',
  'a___b',
  'a-.b',
  'A/b',
  '..',
  '../x',
  'a/../b',
  'a//b',
  '/a',
  'a/',
  HEX,
  'a%2fb',
  'a b',
  'a?b',
  'a#b',
  'a\\b',
  '',
  '.',
  '_',
  '-',
  'sha256',
  'é',
];
const TAGS = [
  '',
  ':latest',
  ':v1.2',
  ':',
  ':-x',
  ':.x',
  ':_x',
  ':a/b',
  ':a:b',
  `:${'t'.repeat(128)}`,
  `:${'t'.repeat(129)}`,
  ':a%00',
  ':\n',
  ':..',
];
const DIGESTS = [
  '',
  `@sha256:${HEX}`,
  `@sha256:${HEX.toUpperCase()}`,
  '@sha256:../../x',
  `@sha512:${HEX}${HEX}`,
  '@',
  `@${HEX}`,
  `@sha256:${HEX.slice(1)}`,
  `@sha256:${HEX}@sha256:${HEX}`,
  `@sha256:${HEX}x`,
];

const CONF = `
unqualified-search-registries = ["s.example", "t.example:5000"]
short-name-mode = "permissive"
[[registry]]
prefix = "*.mirrored.example"
location = "m.example/x"
mirror = [{ location = "n.example:5000/y", insecure = true }]
[[registry]]
location = "blocked.example"
blocked = true
[aliases]
"ali" = "r.example/alias/target"
`;

/** The grammar once more, in words of the distribution project's reference: what we take must be in it. */
const GRAMMAR =
  /^(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)+(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}|@sha256:[0-9a-f]{64})$/u;

export const referenceTarget: Target = {
  name: 'reference',
  rssMiB: 250,
  needsRoot: false,
  seeds: () => [
    { name: 'plain', bytes: Buffer.from('r.example:5000/team/app_x:v1') },
    { name: 'digest', bytes: Buffer.from(`busybox@sha256:${HEX}`) },
    { name: 'short', bytes: Buffer.from('ali') },
  ],
  make: (random, corpus) => {
    const text = random.chance(0.6) ? composed(random) : random.pick(corpus);
    return random.chance(0.5) ? Buffer.from(text) : mutateBytes(Buffer.from(text), random, 8192);
  },
  open: async () => new ReferenceStage(),
};

function composed(random: Random): Buffer {
  return Buffer.from(random.pick(HOSTS) + random.pick(PATHS) + random.pick(TAGS) + random.pick(DIGESTS));
}

class ReferenceStage implements Stage {
  readonly #conf = parseRegistriesConf(CONF, 'fuzz.conf');

  async run(input: Buffer): Promise<Verdict> {
    const text = input.toString('utf8');
    const all = this.#all(text);
    for (const reference of all) this.#check(reference, text);
    return all.length === 0 ? 'refused' : 'accepted';
  }

  async close(): Promise<void> {
    // nothing is open
  }

  #all(text: string): readonly ImageReference[] {
    const found: ImageReference[] = [];
    for (const parse of [
      (): readonly ImageReference[] => [parseReference(text)],
      (): readonly ImageReference[] => candidates(text, this.#conf),
    ]) {
      try {
        found.push(...parse());
      } catch (error) {
        expectRefusal(error, ['invalidRequest', 'denied']);
      }
    }
    return found;
  }

  #check(reference: ImageReference, text: string): void {
    const normal = formatReference(reference);
    const say = (what: string): never =>
      violated(`${JSON.stringify(text)} is taken as ${JSON.stringify(normal)}: ${what}`);
    if (!GRAMMAR.test(normal)) say('which is no reference');
    if (formatReference(parseReference(normal)) !== normal) say('which means something else the second time');
    if ((reference.tag === undefined) === (reference.digest === undefined))
      say('with a tag and a digest, or neither');
    const { host, repository } = reference;
    const bare = host.replace(/:[0-9]+$/u, '');
    if (bare.startsWith('[') && !isIPv6(bare.slice(1, -1))) say('whose host is no address');
    const path = `/v2/${repository}/manifests/${reference.digest ?? reference.tag ?? ''}`;
    const url = new URL(`https://${host}${path}`);
    if (url.pathname !== path || url.username !== '' || url.search !== '' || url.hash !== '')
      say(`which a URL writes as ${url.href}`);
    if (repository.split('/').some((part) => part === '..' || part === '.' || part === ''))
      say('whose path leads elsewhere');
    try {
      for (const endpoint of endpointsOf(reference, this.#conf)) {
        if (
          new URL(`https://${endpoint.host}/v2/${endpoint.repository}/x`).pathname !==
          `/v2/${endpoint.repository}/x`
        )
          say('whose endpoint leads elsewhere');
      }
    } catch (error) {
      expectRefusal(error, ['denied', 'invalidRequest']);
    }
  }
}
