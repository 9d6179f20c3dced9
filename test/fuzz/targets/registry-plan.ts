/**
 * What a registry does wrong in one case: rules that take the place of its answers. A plan is JSON, so that it can be
 * kept and changed.
 */
import type { Random } from '../../sim/random.ts';

export const answerKinds = ['manifest', 'config', 'layer', 'token', 'other'] as const;
export type AnswerKind = (typeof answerKinds)[number];

/** All parts are optional; what is not said stays as a good registry has it. */
export interface Fault {
  readonly status?: number;
  /** Written over or beside the usual ones; `$SELF` and `$OTHER` are origins. */
  readonly headers?: readonly (readonly [string, string])[];
  readonly drop?: readonly string[];
  readonly body?: 'empty' | 'flip' | 'extra' | 'half' | 'zeros' | 'html' | 'error' | 'token' | 'wrongToken';
  /** Bytes instead of any answer. */
  readonly raw?: string;
  /** After so many bytes of the body: nothing more, an end, or a reset. */
  readonly after?: number;
  readonly ending?: 'stall' | 'close' | 'reset';
  readonly endless?: boolean;
  readonly chunked?: 'good' | 'bad' | 'endless';
  readonly slow?: boolean;
}

export interface Rule {
  readonly of: AnswerKind | 'any';
  readonly times: number;
  readonly fault: Fault;
}

export interface Plan {
  readonly image: 'oci' | 'docker' | 'index';
  readonly auth: 'none' | 'basic' | 'bearer';
  readonly byDigest: boolean;
  readonly rules: readonly Rule[];
}

const HEADERS: readonly (readonly [string, string])[] = [
  ['content-length', '0'],
  ['content-length', '99999999999999999999'],
  ['content-length', '-1'],
  ['content-length', '5, 5'],
  ['content-length', 'x'],
  ['content-length', '1'],
  ['content-type', 'text/html'],
  ['content-type', 'application/vnd.oci.image.index.v1+json'],
  ['content-type', ''],
  ['content-type', 'x'.repeat(5000)],
  ['docker-content-digest', `sha256:${'0'.repeat(64)}`],
  ['docker-content-digest', 'sha256:../../x'],
  ['content-encoding', 'gzip'],
  ['transfer-encoding', 'chunked'],
  ['transfer-encoding', 'gzip, chunked'],
  ['content-range', 'bytes 0-0/1'],
  ['content-range', 'bytes 5-1/0'],
  ['content-range', '*/*'],
  ['content-range', 'bytes 99999999999999999999-1/2'],
  ['location', '$OTHER/v2/x'],
  ['location', '$SELF/v2/loop'],
  ['location', 'file:///etc/passwd'],
  ['location', 'http://169.254.169.254/latest'],
  ['location', '//'],
  ['location', 'http://user:pass@127.0.0.2/'],
  ['location', ''],
  ['location', 'ftp://x/'],
  ['location', 'http://[::1'],
  ['location', '/v2/a/../../x'],
  ['retry-after', '0'],
  ['retry-after', '-5'],
  ['retry-after', '99999999999'],
  ['retry-after', 'Wed, 21 Oct 2015 07:28:00 GMT'],
  ['retry-after', 'Fri, 31 Dec 9999 23:59:59 GMT'],
  ['retry-after', 'soon'],
  ['www-authenticate', 'Basic realm="x"'],
  ['www-authenticate', 'Bearer realm="$SELF/token",service="s",scope="repository:fuzz/image:pull"'],
  ['www-authenticate', 'Bearer realm="$OTHER/token",service="s"'],
  ['www-authenticate', 'Bearer realm="file:///x"'],
  ['www-authenticate', 'Bearer realm="'],
  ['www-authenticate', `Bearer ${'a="b",'.repeat(2000)}`],
  ['www-authenticate', 'Bearer'],
  ['www-authenticate', 'Negotiate, Basic, Bearer realm=x'],
  ['www-authenticate', `${'Basic '.repeat(3000)}`],
  ['connection', 'close'],
  ['connection', 'upgrade'],
  ['set-cookie', 'a=b'],
  ['x'.repeat(200), 'y'],
  ['link', '<$SELF/v2/next>; rel="next"'],
  ['x-long', 'z'.repeat(40_000)],
];
const STATUSES = [
  100, 101, 103, 200, 201, 204, 206, 301, 302, 303, 304, 307, 308, 400, 401, 403, 404, 416, 418, 429, 500,
  502, 503, 504, 599, 600, 999, 0, -1,
];
const RAW = [
  '',
  '\r\n',
  'HTTP/1.1',
  'HTTP/1.1 200',
  'HTTP/1.1 200 OK\r\n',
  'HTTP/9.9 200 OK\r\n\r\n',
  'HTTP/1.1 200 OK\r\n: x\r\n\r\n',
  'HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabcd',
  'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\n',
  'HTTP/1.1 100 Continue\r\n\r\n'.repeat(500),
  '\x16\x03\x01\x02\x00',
  'SSH-2.0-x\r\n',
  `HTTP/1.1 200 OK\r\nx: ${'y'.repeat(100_000)}`,
  'HTTP/1.1 200 OK\r\nx\0y: z\r\n\r\n',
  'HTTP/1.0 200 OK\r\n\r\nbody',
];
const BODIES = ['empty', 'flip', 'extra', 'half', 'zeros', 'html', 'error', 'token', 'wrongToken'] as const;

export function randomPlan(random: Random): Plan {
  const rules = Array.from({ length: 1 + random.int(4) }, (): Rule => ({
    of: random.pick([...answerKinds, 'layer', 'manifest', 'any']),
    times: random.pick([1, 1, 2, 3, 1000]),
    fault: randomFault(random),
  }));
  return {
    image: random.pick(['oci', 'docker', 'index']),
    auth: random.pick(['none', 'basic', 'bearer']),
    byDigest: random.chance(0.4),
    rules,
  };
}

function randomFault(random: Random): Fault {
  const fault: { -readonly [K in keyof Fault]: Fault[K] } = {};
  if (random.chance(0.35)) fault.status = random.chance(0.9) ? random.pick(STATUSES) : random.int(1100) - 50;
  if (random.chance(0.45))
    fault.headers = Array.from({ length: 1 + random.int(3) }, () => random.pick(HEADERS));
  // most headers mean something with some status only
  for (const [name] of fault.headers ?? [])
    if (random.chance(0.8)) fault.status = fittingStatus(name, random) ?? fault.status ?? 200;
  if (random.chance(0.15))
    fault.drop = [random.pick(['content-length', 'content-type', 'docker-content-digest', 'content-range'])];
  if (random.chance(0.35)) fault.body = random.pick(BODIES);
  if (random.chance(0.08)) fault.raw = random.pick(RAW);
  if (random.chance(0.25)) {
    fault.after = random.pick([0, 1, 100, 1000, 40_000]);
    fault.ending = random.pick(['stall', 'close', 'reset']);
  }
  if (random.chance(0.03)) fault.endless = true;
  if (random.chance(0.12)) fault.chunked = random.pick(['good', 'good', 'bad', 'endless']);
  if (random.chance(0.04)) fault.slow = true;
  return fault;
}

function fittingStatus(header: string, random: Random): number | undefined {
  if (header === 'www-authenticate') return 401;
  if (header === 'location') return random.pick([301, 302, 303, 307, 308]);
  if (header === 'retry-after') return random.pick([429, 503]);
  return header === 'content-range' ? random.pick([206, 416]) : undefined;
}

/** What a text says of a plan; parts that are not valid are left out. */
export function readPlan(bytes: Buffer): Plan | undefined {
  let plain: unknown;
  try {
    plain = JSON.parse(bytes.toString('utf8'));
  } catch {
    return undefined;
  }
  if (typeof plain !== 'object' || plain === null) return undefined;
  const { image, auth, byDigest, rules } = plain as Partial<Record<keyof Plan, unknown>>;
  return {
    image: oneOf(image, ['oci', 'docker', 'index']) ?? 'oci',
    auth: oneOf(auth, ['none', 'basic', 'bearer']) ?? 'none',
    byDigest: byDigest === true,
    rules: (Array.isArray(rules) ? rules : []).slice(0, 50).flatMap(readRule),
  };
}

function readRule(plain: unknown): Rule[] {
  if (typeof plain !== 'object' || plain === null) return [];
  const { of, times, fault } = plain as Partial<Record<keyof Rule, unknown>>;
  if (typeof fault !== 'object' || fault === null) return [];
  return [
    {
      of: oneOf(of, [...answerKinds, 'any']) ?? 'any',
      times: typeof times === 'number' ? times : 1,
      fault: readFault(fault),
    },
  ];
}

function readFault(plain: object): Fault {
  const given = plain as Partial<Record<keyof Fault, unknown>>;
  const fault: { -readonly [K in keyof Fault]: Fault[K] } = {};
  if (typeof given.status === 'number') fault.status = given.status;
  if (Array.isArray(given.headers)) fault.headers = given.headers.flatMap(readHeader).slice(0, 50);
  if (Array.isArray(given.drop)) fault.drop = given.drop.map(String);
  const [body, ending, chunked] = [
    oneOf(given.body, BODIES),
    oneOf(given.ending, ['stall', 'close', 'reset']),
    oneOf(given.chunked, ['good', 'bad', 'endless']),
  ];
  if (body !== undefined) fault.body = body;
  if (typeof given.raw === 'string') fault.raw = given.raw;
  if (typeof given.after === 'number') fault.after = given.after;
  if (ending !== undefined) fault.ending = ending;
  if (chunked !== undefined) fault.chunked = chunked;
  if (given.endless === true) fault.endless = true;
  if (given.slow === true) fault.slow = true;
  return fault;
}

function readHeader(plain: unknown): (readonly [string, string])[] {
  return Array.isArray(plain) && plain.length === 2 ? [[String(plain[0]), String(plain[1])]] : [];
}

function oneOf<T extends string>(value: unknown, known: readonly T[]): T | undefined {
  return known.find((one) => one === value);
}
