// The rows and columns of the table of sessions: versions of the protocols, and what a session does in each.
import { expect } from 'vitest';

const MUCH = 100 * 1000 * 1000;
/** Each reads slowly for a second or so: far more than all buffers hold comes meanwhile. */
const SLOW = 20 * 1000 * 1000;

interface Output {
  readonly bytes: number;
  readonly sha256: string;
  readonly text: string;
}

export interface Seen {
  readonly sent: Output;
  readonly stdout: Output;
  readonly stderr: Output;
  readonly error: string;
  readonly exitCode: number;
  /** What the library wrote to its own log. */
  readonly log: string;
}

interface Protocol {
  readonly transport: 'spdy' | 'websocket';
  readonly name: string;
  /** stdin can be ended while the outputs go on. */
  readonly halfClose: boolean;
  /** How the program ended: unknown (the library does not wait for it), in words, or with the exit code. */
  readonly ending: 'none' | 'words' | 'code';
  readonly resize: boolean;
}

const protocol = (transport: Protocol['transport'], version: number): Protocol => ({
  transport,
  name: version === 1 ? 'channel.k8s.io' : `v${version}.channel.k8s.io`,
  // the first version has none: that is why there was a second
  halfClose: transport === 'spdy' ? version >= 2 : version >= 5,
  ending: version >= 4 ? 'code' : version >= 2 ? 'words' : 'none',
  resize: version >= 3,
});

export const PROTOCOLS = [
  ...[1, 2, 3, 4].map((version) => protocol('spdy', version)),
  ...[4, 5].map((version) => protocol('websocket', version)),
];

interface Session {
  readonly script: string;
  readonly flags: readonly string[];
  readonly streams: { readonly stdin?: boolean; readonly tty?: boolean };
}

type Verdict = undefined | string;

interface Case {
  readonly title: string;
  /** Why a protocol can't do it. */
  readonly lacks?: (protocol: Protocol) => Verdict;
  readonly session: Session;
  readonly check: (seen: Seen, protocol: Protocol) => void;
}

const noHalfClose = ({ halfClose }: Protocol): Verdict => (halfClose ? undefined : 'has no half-close');

export const CASES: readonly Case[] = [
  {
    title: 'stdout and stderr apart',
    session: { script: 'echo out; echo err >&2', flags: [], streams: {} },
    check: ({ stdout, stderr, error }) =>
      expect([stdout.text, stderr.text, error]).toEqual(['out\n', 'err\n', '']),
  },
  {
    title: 'exit code',
    lacks: ({ ending }) => (ending === 'none' ? 'does not learn the end' : undefined),
    session: { script: 'exit 42', flags: [], streams: {} },
    check: ({ exitCode, error }, { ending }) => {
      expect(error).toContain('42');
      if (ending === 'code') expect(exitCode).toBe(42);
    },
  },
  {
    title: 'stdin to its end',
    lacks: noHalfClose,
    session: { script: 'cat; echo end >&2', flags: ['-stdin-text', 'typed'], streams: { stdin: true } },
    check: ({ stdout, stderr, error }) =>
      expect([stdout.text, stderr.text, error]).toEqual(['typed', 'end\n', '']),
  },
  {
    title: 'stdin that stays open',
    session: {
      script: 'read line; echo "got $line"',
      flags: ['-stdin-text', 'a line\n', '-keep-stdin'],
      streams: { stdin: true },
    },
    check: ({ stdout, error }) => expect([stdout.text, error]).toEqual(['got a line\n', '']),
  },
  {
    title: '100 MB out',
    session: { script: `head -c ${MUCH} /dev/zero`, flags: [], streams: {} },
    check: ({ stdout, error }) => expect([stdout.bytes, error]).toEqual([MUCH, '']),
  },
  {
    title: '100 MB of stderr',
    session: { script: `head -c ${MUCH} /dev/zero >&2; echo out`, flags: [], streams: {} },
    check: ({ stdout, stderr, error }) =>
      expect([stdout.text, stderr.bytes, error]).toEqual(['out\n', MUCH, '']),
  },
  {
    title: 'one output ends before the other',
    session: { script: 'echo out; exec >&-; echo late >&2', flags: [], streams: {} },
    check: ({ stdout, stderr, error }) =>
      expect([stdout.text, stderr.text, error]).toEqual(['out\n', 'late\n', '']),
  },
  {
    title: '100 MB in and out',
    lacks: noHalfClose,
    session: { script: 'cat', flags: ['-stdin-bytes', String(MUCH)], streams: { stdin: true } },
    check: ({ sent, stdout, error }) =>
      expect([stdout.bytes, stdout.sha256, error]).toEqual([MUCH, sent.sha256, '']),
  },
  {
    title: 'slow reader',
    session: {
      script: `head -c ${SLOW} /dev/urandom | tee /tmp/sent | cat; sha256sum /tmp/sent >&2`,
      flags: ['-slow'],
      streams: {},
    },
    check: ({ stdout, stderr, error }) =>
      expect([stdout.bytes, stderr.text.split(' ')[0], error]).toEqual([SLOW, stdout.sha256, '']),
  },
  {
    title: 'terminal',
    session: { script: 'tty; stty size', flags: ['-sizes', '80x25'], streams: { tty: true } },
    check: ({ stdout, error }, { resize }) => {
      expect(stdout.text).toContain('/dev/pts/');
      if (resize) expect(stdout.text).toContain('25 80');
      expect(error).toBe('');
    },
  },
  {
    title: 'terminal with stdin',
    session: {
      script: 'stty -echo; echo up; read line; echo "got $line"',
      flags: ['-stdin-text', 'a line\n', '-keep-stdin'],
      streams: { stdin: true, tty: true },
    },
    check: ({ stdout, error }) => {
      expect(stdout.text).toContain('got a line\r\n');
      expect(error).toBe('');
    },
  },
  {
    title: 'slow reader of a terminal',
    session: { script: `stty -opost; head -c ${SLOW} /dev/zero`, flags: ['-slow'], streams: { tty: true } },
    check: ({ stdout, error }) => expect([stdout.bytes, error]).toEqual([SLOW, '']),
  },
  {
    title: 'resize',
    lacks: ({ resize }) => (resize ? undefined : 'has no resize'),
    session: {
      script: 'echo up; until stty size | grep -q "40 120"; do sleep 0.05; done; stty size',
      flags: ['-sizes', '80x25,120x40'],
      streams: { tty: true },
    },
    check: ({ stdout, error }) => {
      expect(stdout.text).toContain('40 120');
      expect(error).toBe('');
    },
  },
  {
    title: 'client goes in the middle',
    session: { script: 'exec yes marked-to-be-gone', flags: ['-abort-after', '1000000'], streams: {} },
    check: ({ stdout, error }) => {
      expect(stdout.bytes).toBeGreaterThanOrEqual(1_000_000);
      expect(error).toContain('context canceled');
    },
  },
];

/** Of a container that repeats each line, and one that says something all the time. */
export const ATTACHES: readonly Pick<Case, 'title' | 'check'>[] = [
  {
    title: 'stdin and stdout',
    check: ({ stdout }, { transport, name }) => expect(stdout.text).toContain(`got ${transport} ${name}\n`),
  },
  {
    title: 'client goes in the middle',
    check: ({ stdout, error }) => {
      expect(stdout.bytes).toBeGreaterThanOrEqual(1_000_000);
      expect(error).toContain('context canceled');
    },
  },
];

interface Forward {
  readonly title: string;
  readonly port: number;
  readonly flags: readonly string[];
  readonly check: (seen: Seen) => void;
}

export const FORWARDS: readonly Forward[] = [
  {
    title: '127.0.0.1 of the pod',
    port: 7001,
    flags: ['-stdin-text', 'ping'],
    check: ({ stdout, error }) => expect([stdout.text, error]).toEqual(['ping', '']),
  },
  {
    title: '::1 of the pod',
    port: 7002,
    flags: ['-stdin-text', 'ping'],
    check: ({ stdout, error }) => expect([stdout.text, error]).toEqual(['ping', '']),
  },
  {
    title: '100 MB each way',
    port: 7001,
    flags: ['-stdin-bytes', String(MUCH)],
    check: ({ sent, stdout, error }) =>
      expect([stdout.bytes, stdout.sha256, error]).toEqual([MUCH, sent.sha256, '']),
  },
  {
    title: 'half-close',
    port: 7003,
    flags: ['-stdin-bytes', '123456'],
    check: ({ stdout, error }) => expect([stdout.text, error]).toEqual(['123456', '']),
  },
  {
    title: 'slow reader',
    port: 7001,
    flags: ['-stdin-bytes', String(SLOW), '-slow'],
    check: ({ sent, stdout, error }) =>
      expect([stdout.bytes, stdout.sha256, error]).toEqual([SLOW, sent.sha256, '']),
  },
  {
    title: 'nobody listens',
    port: 7999,
    flags: ['-stdin-text', 'ping'],
    check: ({ stdout, log }) => {
      expect(stdout.bytes).toBe(0);
      expect(log).toMatch(/refused/iu);
    },
  },
  {
    title: 'client goes in the middle',
    port: 7001,
    flags: ['-stdin-bytes', String(MUCH), '-abort-after', '1000000'],
    check: ({ stdout }) => expect(stdout.bytes).toBeLessThan(MUCH),
  },
];
