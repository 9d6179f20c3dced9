/**
 * What the OCI runtime specification 1.0.2 says of config.json, as far as we write it, in our own words: known members
 * only, the right types, and the rules between members. Gives every violation with its place.
 */
import { HOOK_KINDS } from '../../../src/oci/runtime/spec/types.ts';
import { CAPABILITY_NAMES } from '../../../src/oci/runtime/spec/capabilities.ts';

type Check = (value: unknown, at: string, found: string[]) => void;

const problem = (found: string[], at: string, wanted: string): void =>
  void found.push(`${at}: not ${wanted}`);

const text: Check = (value, at, found) => {
  if (typeof value !== 'string') problem(found, at, 'a text');
};
const absolute: Check = (value, at, found) => {
  if (
    typeof value !== 'string' ||
    !value.startsWith('/') ||
    value.includes('//') ||
    /\/\.\.?(?:\/|$)/u.test(value)
  )
    problem(found, at, 'a clean absolute path');
};
const flag: Check = (value, at, found) => {
  if (typeof value !== 'boolean') problem(found, at, 'a boolean');
};
const integer: Check = (value, at, found) => {
  if (typeof value !== 'number' || !Number.isInteger(value)) problem(found, at, 'an integer');
};
const natural: Check = (value, at, found) => {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 0)
    problem(found, at, 'an unsigned integer');
};
const range =
  (low: number, high: number): Check =>
  (value, at, found) => {
    if (typeof value !== 'number' || !Number.isInteger(value) || value < low || value > high)
      problem(found, at, `in ${low} to ${high}`);
  };
const oneOf =
  (...words: readonly string[]): Check =>
  (value, at, found) => {
    if (typeof value !== 'string' || !words.includes(value)) problem(found, at, `one of ${words.join(', ')}`);
  };
const matching =
  (pattern: RegExp): Check =>
  (value, at, found) => {
    if (typeof value !== 'string' || !pattern.test(value))
      problem(found, at, `of the form ${pattern.source}`);
  };
const list =
  (item: Check): Check =>
  (value, at, found) => {
    if (!Array.isArray(value)) return problem(found, at, 'a list');
    value.forEach((member: unknown, index) => item(member, `${at}[${index}]`, found));
  };
const map =
  (item: Check): Check =>
  (value, at, found) => {
    for (const [key, member] of Object.entries(object(value, at, found))) item(member, `${at}.${key}`, found);
  };
const record =
  (required: Readonly<Record<string, Check>>, optional: Readonly<Record<string, Check>> = {}): Check =>
  (value, at, found) => {
    const members = object(value, at, found);
    for (const key of Object.keys(required)) if (!(key in members)) found.push(`${at}.${key}: missing`);
    for (const [key, member] of Object.entries(members)) {
      const check = required[key] ?? optional[key];
      if (check === undefined) found.push(`${at}.${key}: not known`);
      else check(member, `${at}.${key}`, found);
    }
  };

function object(value: unknown, at: string, found: string[]): Readonly<Record<string, unknown>> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value))
    return value as Record<string, unknown>;
  problem(found, at, 'an object');
  return {};
}

const capabilities = list(oneOf(...CAPABILITY_NAMES));
const access = matching(/^r?w?m?$/u);
const action = matching(/^SCMP_ACT_[A-Z_]+$/u);

const idMappings = list(record({ containerID: natural, hostID: natural, size: range(1, 2 ** 32 - 1) }));

const variables = list(matching(/^[^=\0]+=[^\0]*$/su));
const hooks = list(
  record({ path: absolute }, { args: list(text), env: variables, timeout: range(1, 2 ** 31 - 1) }),
);

const DOCUMENT = record(
  {
    ociVersion: matching(/^1\.0\.2$/u),
    process: record(
      {
        terminal: flag,
        user: record({
          uid: range(0, 2 ** 31 - 1),
          gid: range(0, 2 ** 31 - 1),
          additionalGids: list(range(0, 2 ** 31 - 1)),
        }),
        args: list(text),
        env: variables,
        cwd: absolute,
        capabilities: record({
          bounding: capabilities,
          effective: capabilities,
          permitted: capabilities,
          inheritable: capabilities,
          ambient: capabilities,
        }),
        rlimits: list(record({ type: matching(/^RLIMIT_[A-Z]+$/u), soft: natural, hard: natural })),
        oomScoreAdj: range(-1000, 1000),
      },
      { noNewPrivileges: flag, apparmorProfile: text, selinuxLabel: text },
    ),
    root: record({ path: absolute, readonly: flag }),
    mounts: list(
      record(
        {
          destination: absolute,
          type: oneOf('bind', 'proc', 'tmpfs', 'devpts', 'mqueue', 'sysfs', 'cgroup'),
          source: text,
          options: list(text),
        },
        { uidMappings: idMappings, gidMappings: idMappings },
      ),
    ),
    annotations: map(text),
    linux: record(
      {
        namespaces: list(
          record(
            { type: oneOf('mount', 'pid', 'network', 'ipc', 'uts', 'cgroup', 'user') },
            { path: absolute },
          ),
        ),
        devices: list(
          record({
            path: absolute,
            type: oneOf('c', 'b', 'p'),
            major: natural,
            minor: natural,
            fileMode: range(0, 0o777),
            uid: natural,
            gid: natural,
          }),
        ),
        cgroupsPath: absolute,
        resources: record(
          {
            devices: list(
              record({ allow: flag, access }, { type: oneOf('a', 'b', 'c'), major: natural, minor: natural }),
            ),
          },
          {
            memory: record({}, { limit: integer, swap: integer }),
            cpu: record(
              {},
              {
                shares: natural,
                quota: integer,
                period: natural,
                cpus: matching(/^[0-9,-]+$/u),
                mems: matching(/^[0-9,-]+$/u),
              },
            ),
            hugepageLimits: list(record({ pageSize: matching(/^[0-9]+[KMG]B$/u), limit: natural })),
            unified: map(text),
          },
        ),
        maskedPaths: list(absolute),
        readonlyPaths: list(absolute),
      },
      {
        uidMappings: idMappings,
        gidMappings: idMappings,
        intelRdt: record(
          {},
          {
            closID: text,
            l3CacheSchema: text,
            memBwSchema: text,
            schemata: list(text),
            enableMonitoring: flag,
            enableCMT: flag,
            enableMBM: flag,
          },
        ),
        mountLabel: text,
        rootfsPropagation: oneOf('rshared', 'rslave', 'rprivate'),
        seccomp: record(
          {
            defaultAction: action,
            architectures: list(matching(/^SCMP_ARCH_[A-Z0-9_]+$/u)),
            syscalls: list(
              record(
                { names: list(matching(/^[a-z0-9_]+$/u)), action },
                {
                  errnoRet: natural,
                  args: list(
                    record(
                      { index: range(0, 5), value: natural, op: matching(/^SCMP_CMP_[A-Z_]+$/u) },
                      { valueTwo: natural },
                    ),
                  ),
                },
              ),
            ),
          },
          { defaultErrnoRet: natural },
        ),
      },
    ),
  },
  {
    hooks: record({}, Object.fromEntries(HOOK_KINDS.map((kind) => [kind, hooks]))),
  },
);

interface Between {
  readonly process: {
    readonly args: readonly string[];
    readonly rlimits: readonly { soft: number; hard: number }[];
    readonly capabilities: Readonly<Record<string, readonly string[]>>;
  };
  readonly mounts: readonly {
    readonly destination: string;
    readonly type: string;
    readonly source: string;
    readonly options: readonly string[];
  }[];
  readonly linux: {
    readonly namespaces: readonly { readonly type: string }[];
    readonly rootfsPropagation?: string;
    readonly seccomp?: {
      readonly syscalls: readonly { readonly names: readonly string[]; readonly args?: unknown }[];
    };
  };
}

/** Every violation in a parsed config.json; none for a good one. */
export function violations(document: unknown): readonly string[] {
  const found: string[] = [];
  DOCUMENT(document, 'config', found);
  if (found.length === 0) between(document as Between, found);
  return found;
}

function between({ process, mounts, linux }: Between, found: string[]): void {
  const {
    bounding = [],
    permitted = [],
    effective = [],
    inheritable = [],
    ambient = [],
  } = process.capabilities;
  if (process.args.length === 0) found.push('process.args: empty');
  for (const { soft, hard } of process.rlimits)
    if (soft > hard) found.push('process.rlimits: soft above hard');
  // capabilities(7): what cannot be, runc refuses or drops in silence
  for (const name of permitted) if (!bounding.includes(name)) found.push(`${name}: permitted, not bounding`);
  for (const name of effective)
    if (!permitted.includes(name)) found.push(`${name}: effective, not permitted`);
  for (const name of ambient)
    if (!permitted.includes(name) || !inheritable.includes(name))
      found.push(`${name}: ambient, not permitted and inheritable`);
  const types = linux.namespaces.map(({ type }) => type);
  if (new Set(types).size !== types.length) found.push('linux.namespaces: one type twice');
  if (!types.includes('mount')) found.push('linux.namespaces: no mount namespace');
  const depths = mounts.map(({ destination }) => destination.split('/').length);
  if (depths.some((depth, at) => depth < (depths[at - 1] ?? 0)))
    found.push('mounts: an inner one before an outer one');
  for (const { destination, type, source, options } of mounts) {
    if (type === 'bind' && !(source.startsWith('/') && options.includes('rbind')))
      found.push(`${destination}: bind without rbind or source`);
    const isShared = options.includes('rshared');
    if (isShared && linux.rootfsPropagation !== 'rshared')
      found.push(`${destination}: shared below a root that is not`);
    if (options.includes('rslave') && linux.rootfsPropagation === undefined)
      found.push(`${destination}: slave below a private root`);
  }
  const plain = (linux.seccomp?.syscalls ?? [])
    .filter(({ args }) => args === undefined)
    .flatMap(({ names }) => names);
  if (new Set(plain).size !== plain.length)
    found.push('seccomp: one system call in two rules without arguments');
}
