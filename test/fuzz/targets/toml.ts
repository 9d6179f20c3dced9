/**
 * TOML that an operator or a tool writes: registries.conf and our own configuration. Answers are a refusal with its
 * line, or a value.
 */
import { applyFile } from '../../../src/daemon/config/config.ts';
import { defaultConfig } from '../../../src/daemon/config/config-schema.ts';
import { candidates, endpointsOf } from '../../../src/oci/images/registry/endpoints.ts';
import {
  mergeRegistriesConf,
  parseRegistriesConf,
} from '../../../src/oci/images/registry/registries-conf.ts';
import { FaultError } from '../../../src/base/fault.ts';
import { parseReference } from '../../../src/oci/images/model/reference.ts';
import { violated } from '../target.ts';
import { learnerOf, type Kind } from './kinds.ts';

const CONF = `unqualified-search-registries = ["s.example", "t.example:5000"]
short-name-mode = "permissive"
credential-helpers = ["x"]
[[registry]]
prefix = "*.mirrored.example"
location = "m.example/x"
mirror = [{ location = "n.example:5000/y", insecure = true, pull-from-mirror = "digest-only" }]
[[registry]]
prefix = "r.example/a"
insecure = true
mirror-by-digest-only = true
[[registry.mirror]]
location = "k.example"
[[registry]]
location = "blocked.example"
blocked = true
[aliases]
"ali" = "r.example/alias/target"
`;
const OURS = `[api]
socket = "/run/a.sock"
[runtime]
default = "runc"
[runtime.handlers.runc]
path = "/usr/bin/runc"
[log]
level = "debug"
[storage]
root = "/var/lib/x"
[images]
max_parallel = 3
`;
const REFERENCES = ['r.example/a/b:1', 'x.mirrored.example/c:2', 'blocked.example/d:3'].map((text) =>
  parseReference(text),
);

const conf: Kind = {
  name: 'conf',
  seeds: [CONF],
  run: (input) => {
    const parsed = mergeRegistriesConf([parseRegistriesConf(input.toString('utf8'), 'fuzz.conf')]);
    for (const reference of REFERENCES)
      for (const { host, repository } of refusable(() => endpointsOf(reference, parsed))) {
        const path = `/v2/${repository}/x`;
        const url = new URL(`https://${host}${path}`);
        if (url.pathname !== path || url.username !== '' || url.search !== '')
          violated(`an endpoint that a URL writes as ${url.href}`);
      }
    refusable(() => candidates('ali', parsed));
    return true;
  },
};

const ours: Kind = {
  name: 'ours',
  seeds: [OURS],
  run: (input) => {
    const before = JSON.stringify(defaultConfig);
    const config = applyFile(defaultConfig, input.toString('utf8'), 'fuzz.toml');
    if (JSON.stringify(defaultConfig) !== before) violated('the default configuration has changed');
    if (Object.keys(config).join() !== Object.keys(defaultConfig).join())
      violated('a section that the schema does not have');
    return true;
  },
};

/** Nothing where the configuration refuses the image. */
function refusable<T>(ask: () => readonly T[]): readonly T[] {
  try {
    return ask();
  } catch (error) {
    if (error instanceof FaultError && ['denied', 'invalidRequest'].includes(error.fault.kind)) return [];
    throw error;
  }
}

export const tomlLearner = learnerOf(
  [conf, ours],
  ['invalidRequest'],
  [
    '[[registry]]\n',
    '[[registry.mirror]]\n',
    '"""',
    "'''",
    '__proto__',
    '1979-05-27T07:32:00Z',
    'inf',
    '0x',
    '\n',
  ],
);
