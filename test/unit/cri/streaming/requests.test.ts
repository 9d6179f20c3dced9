/** Tokens, the request of an upgrade, statuses and sizes. */
import { describe, expect, it } from 'vitest';
import { fault } from '../../../../src/base/fault.ts';
import type { ContainerId } from '../../../../src/base/ids.ts';
import { streamLimits } from '../../../../src/cri/bounds.ts';
import { Resizes, parseSize } from '../../../../src/cri/streaming/command-channels.ts';
import { statusBytes } from '../../../../src/cri/streaming/command-status.ts';
import { negotiate, parsePath, refuseHost } from '../../../../src/cri/streaming/handshake.ts';
import { parsePort } from '../../../../src/cri/streaming/port-forward.ts';
import { expectedRoles } from '../../../../src/cri/streaming/spdy-command.ts';
import { TokenTable } from '../../../../src/cri/streaming/tokens.ts';
import type { StreamRequest } from '../../../../src/cri/streaming/stream-request.ts';
import { realRandom } from '../../../../src/host/clock/random.ts';
import { hex } from '../stage.ts';
import { HandClock } from '../../../support/hand-clock.ts';
import { untilTrue } from '../../../support/turns.ts';

const request: StreamRequest = {
  kind: 'attach',
  id: hex('c') as ContainerId,
  stdin: true,
  stdout: true,
  stderr: false,
  tty: false,
};

describe('tokens (S67 S78)', () => {
  const table = (): { readonly tokens: TokenTable; readonly clock: HandClock } => {
    const clock = new HandClock();
    return { tokens: new TokenTable(clock, realRandom()), clock };
  };

  it('have 128 bits and are valid for one use, for their own kind of stream', () => {
    const { tokens } = table();
    const [one, two] = [tokens.issue(request, 'a'), tokens.issue(request, 'a')];
    expect(one).toMatch(/^[0-9a-f]{32}$/u);
    expect(one).not.toBe(two);
    expect(tokens.take('attach', one)).toBe(request);
    expect(tokens.take('attach', one)).toBeUndefined();
    expect(tokens.take('attach', '')).toBeUndefined();
    expect(tokens.take('attach', 'f'.repeat(32))).toBeUndefined();
  });

  it('used for another kind of stream are refused and used up', () => {
    const { tokens } = table();
    const token = tokens.issue(request, 'a');
    expect(tokens.take('exec', token)).toBeUndefined();
    expect(tokens.take('attach', token)).toBeUndefined();
    expect(tokens.size).toBe(0);
  });

  it('expire after a minute', () => {
    const { tokens, clock } = table();
    const token = tokens.issue(request, 'a');
    clock.nowMs = streamLimits.tokenMs;
    expect(tokens.take('attach', token)).toBeUndefined();
  });

  it('are bounded, and use and expiry make room', () => {
    const { tokens, clock } = table();
    const ofOne = (namespace: string): string[] =>
      Array.from({ length: streamLimits.tokensPerNamespace }, () => tokens.issue(request, namespace));
    const all = ofOne('a');
    expect(() => tokens.issue(request, 'a')).toThrow(/URLs of its namespace: 500 with requests of/u);
    ofOne('b');
    expect(() => tokens.issue(request, 'c')).toThrow(/unused URLs: 1000 with requests of/u);
    tokens.take('attach', all[400] ?? '');
    tokens.issue(request, 'a');
    expect(() => tokens.issue(request, 'a')).toThrow();
    clock.nowMs = streamLimits.tokenMs;
    tokens.issue(request, 'a');
    expect(tokens.size).toBe(1);
  });
});

describe('paths', () => {
  it('consist of a kind and a token', () => {
    expect(parsePath('/exec/0a1b?port=80')).toMatchObject({ kind: 'exec', token: '0a1b' });
    for (const path of [
      '/',
      '/exec',
      '/exec/',
      '/exec/xyz',
      '/exec/0a/',
      '/run/0a',
      '//exec/0a',
      '/exec/0a%00',
      `/exec/${'0'.repeat(65)}`,
      'http://x/exec/0a',
    ]) {
      expect(parsePath(path)).toBeUndefined();
    }
  });

  it('take ports 1 to 65535', () => {
    expect(['1', '65535'].map(parsePort)).toEqual([1, 65_535]);
    expect(['', '0', '65536', '-1', '1e3', '080', ' 80', '99999'].map(parsePort)).toEqual(
      Array.from({ length: 8 }, () => undefined),
    );
  });
});

describe('Host and Origin (S68)', () => {
  it.each([
    ['127.0.0.1:1234'],
    ['10.0.0.5:10250'],
    ['[::1]:80'],
    ['localhost:7'],
    ['LOCALHOST'],
    ['node-1:10250'],
  ])('Host %s passes', (host) => {
    expect(refuseHost({ host }, ['node-1'], 1234)).toBeUndefined();
  });

  it.each([
    ['evil.example:1234'],
    [''],
    ['127.0.0.1.evil.example'],
    ['a@127.0.0.1'],
    ['127.0.0.1:x'],
    ['localhost.evil.example'],
  ])('Host %s does not', (host) => {
    expect(refuseHost({ host }, ['node-1'], 1234)).toMatchObject({ status: 403 });
  });

  it('an Origin must be the Host, or allowed', () => {
    const host = '127.0.0.1:1234';
    expect(refuseHost({ host, origin: 'http://127.0.0.1:1234' }, [], 1234)).toBeUndefined();
    expect(
      refuseHost({ host, origin: 'https://console.example' }, ['console.example'], 1234),
    ).toBeUndefined();
    for (const origin of ['http://evil.example', 'null', '', 'http://127.0.0.1:99', 'file:///x']) {
      expect(refuseHost({ host, origin }, [], 1234)).toMatchObject({ status: 403 });
    }
  });
});

describe('Host and Origin (S68) through a kubelet, which passes both on', () => {
  const origin = 'https://console.example';

  it('any Origin passes, since it belongs to the page that asked the API server', () => {
    for (const host of ['10.0.0.5:10250', 'node-1:10250', '[::1]:10250'])
      expect(refuseHost({ host, origin }, ['node-1'], 1234)).toBeUndefined();
  });

  it.each([['10.0.0.5'], ['10.0.0.5:1234'], ['[::1]'], ['[::1]:1234']])(
    'no Origin passes where the Host %s may be that of a browser connected directly',
    (host) => {
      expect(refuseHost({ host, origin }, [], 1234)).toMatchObject({ status: 403 });
      expect(refuseHost({ host: '10.0.0.5:10250', origin }, [], undefined)).toMatchObject({ status: 403 });
    },
  );

  it('the API server may call the node by any name; without a port, or with ours, it must be known', () => {
    expect(refuseHost({ host: 'ip-10-0-0-5.cloud.example:10250' }, ['node-1'], 1234)).toBeUndefined();
    for (const host of ['other.example', 'other.example:1234', 'a@other.example:10250', ':10250'])
      for (const headers of [{ host }, { host, origin }])
        expect(refuseHost(headers, ['node-1'], 1234)).toMatchObject({ status: 403 });
  });
});

describe('protocols', () => {
  const key = { 'sec-websocket-version': '13', 'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==' };
  const spdy = (offered: string, kind: StreamRequest['kind'] = 'exec') =>
    negotiate({ upgrade: 'SPDY/3.1', 'x-stream-protocol-version': offered }, kind);
  const ws = (offered: string | undefined, kind: StreamRequest['kind'] = 'exec') =>
    negotiate(
      {
        upgrade: 'websocket',
        ...key,
        ...(offered === undefined ? {} : { 'sec-websocket-protocol': offered }),
      },
      kind,
    );

  it('SPDY: the client’s first supported protocol is chosen', () => {
    expect(spdy('v5.channel.k8s.io, v4.channel.k8s.io, v3.channel.k8s.io')).toEqual({
      over: 'spdy',
      name: 'v4.channel.k8s.io',
      version: 4,
    });
    expect(spdy('v2.channel.k8s.io,v3.channel.k8s.io')).toMatchObject({ version: 2 });
    expect(spdy('')).toEqual({ over: 'spdy', name: '', version: 1 });
    expect(spdy('portforward.k8s.io', 'portforward')).toMatchObject({ name: 'portforward.k8s.io' });
  });

  it('SPDY: without a common protocol the refusal lists the supported ones', () => {
    const refused = {
      status: 403,
      headers: {
        'X-Accepted-Stream-Protocol-Versions':
          'v4.channel.k8s.io, v3.channel.k8s.io, v2.channel.k8s.io, channel.k8s.io',
      },
    };
    expect(spdy('v9.channel.k8s.io')).toMatchObject(refused);
    expect(spdy('portforward.k8s.io')).toMatchObject({ status: 403 });
    expect(spdy('v4.channel.k8s.io', 'portforward')).toMatchObject({ status: 403 });
  });

  it('WebSocket: version 5 and older ones are supported, base64 too', () => {
    expect(ws('v5.channel.k8s.io')).toEqual({
      over: 'websocket',
      name: 'v5.channel.k8s.io',
      version: 5,
      isBase64: false,
    });
    expect(ws('unknown, base64.channel.k8s.io')).toMatchObject({ version: 1, isBase64: true });
    expect(ws('v4.base64.channel.k8s.io', 'portforward')).toMatchObject({
      over: 'websocket',
      isBase64: true,
    });
    expect(ws('SPDY/3.1+portforward.k8s.io', 'portforward')).toEqual({
      over: 'tunnel',
      name: 'SPDY/3.1+portforward.k8s.io',
    });
  });

  it('WebSocket: a request without subprotocol (S68), with unknown ones, of another version or without key is refused', () => {
    expect(ws(undefined)).toMatchObject({ status: 400 });
    expect(ws('SPDY/3.1+portforward.k8s.io')).toMatchObject({ status: 403 });
    expect(ws('v5.channel.k8s.io', 'portforward')).toMatchObject({ status: 403 });
    expect(ws('constructor')).toMatchObject({ status: 403 });
    expect(
      negotiate({ upgrade: 'websocket', 'sec-websocket-protocol': 'v5.channel.k8s.io' }, 'exec'),
    ).toMatchObject({ status: 426 });
    expect(
      negotiate(
        {
          upgrade: 'websocket',
          'sec-websocket-version': '13',
          'sec-websocket-protocol': 'v5.channel.k8s.io',
        },
        'exec',
      ),
    ).toMatchObject({ status: 400 });
    expect(negotiate({ upgrade: 'h2c' }, 'exec')).toMatchObject({ status: 400 });
  });

  it("a terminal's size came with version 3", () => {
    const wanted = { stdin: true, stdout: true, stderr: false, tty: true };
    expect(expectedRoles(wanted, 2)).toEqual(['error', 'stdin', 'stdout']);
    expect(expectedRoles(wanted, 3)).toEqual(['error', 'stdin', 'stdout', 'resize']);
    expect(expectedRoles({ ...wanted, tty: false, stderr: true }, 4)).toEqual([
      'error',
      'stdin',
      'stdout',
      'stderr',
    ]);
  });
});

describe('statuses', () => {
  const json = (end: Parameters<typeof statusBytes>[0]): unknown =>
    JSON.parse(Buffer.from(statusBytes(end, 4)).toString());

  it('have exit codes as client-go reads them', () => {
    expect(json({ kind: 'exited', exitCode: 0 })).toMatchObject({ status: 'Success' });
    expect(json({ kind: 'detached' })).toMatchObject({ status: 'Success' });
    expect(json({ kind: 'exited', exitCode: 42 })).toMatchObject({
      status: 'Failure',
      reason: 'NonZeroExitCode',
      details: { causes: [{ reason: 'ExitCode', message: '42' }] },
    });
    expect(json({ kind: 'failed', fault: fault('outside', 'no such program') })).toMatchObject({
      status: 'Failure',
      reason: 'InternalError',
      code: 500,
      message: 'no such program',
    });
  });

  it('are plain text before version 4, empty for success', () => {
    const text = (end: Parameters<typeof statusBytes>[0]): string =>
      Buffer.from(statusBytes(end, 3)).toString();
    expect(text({ kind: 'exited', exitCode: 0 })).toBe('');
    expect(text({ kind: 'exited', exitCode: 7 })).toBe('command terminated with exit code 7');
    expect(text({ kind: 'failed', fault: fault('outside', 'x') })).toBe('x');
  });

  it('have no internal details for a bug', () => {
    expect(JSON.stringify(json({ kind: 'failed', fault: fault('bug', 'secret at line 7') }))).not.toContain(
      'secret',
    );
  });
});

describe('sizes of a terminal', () => {
  it('are read in any pieces; 0 and invalid ones are left out; the last one is kept', () => {
    const resizes = new Resizes();
    const seen: unknown[] = [];
    resizes.push(Buffer.from('{"Width":80,"Height":24}'));
    resizes.onResize((size) => void seen.push(size));
    for (const part of [
      '{"Wid',
      'th":100,"Hei',
      'ght":30}\n{"Width":0,"Height":5}',
      '{"Width":"a","Height":5}{"width":1,"height":2}',
    ])
      resizes.push(Buffer.from(part));
    expect(seen).toEqual([
      { columns: 80, rows: 24 },
      { columns: 100, rows: 30 },
      { columns: 1, rows: 2 },
    ]);
  });

  it.each([['in one piece'], ['in two']])(
    'the larger one that kubectl attach sends before its own comes first, %s, so that the program draws again',
    (how) => {
      const resizes = new Resizes();
      const seen: number[] = [];
      const [larger, own] = ['{"Width":81,"Height":25}\n', '{"Width":80,"Height":24}\n'];
      for (const part of how === 'in two' ? [larger, own] : [larger + own]) resizes.push(Buffer.from(part));
      resizes.onResize(({ columns }) => void seen.push(columns));
      expect(seen).toEqual([81, 80]);
      resizes.push(Buffer.from(larger + own));
      expect(seen).toEqual([81, 80, 81, 80]);
      // what a new listener has had of before it is over
      resizes.onResize(({ columns }) => void seen.push(columns));
      expect(seen.slice(4)).toEqual([80]);
    },
  );

  it('one that came while another was being set is passed on where the last is that other again', async () => {
    const resizes = new Resizes();
    const seen: number[] = [];
    resizes.onResize(async ({ columns }) => {
      seen.push(columns);
      await Promise.resolve();
    });
    for (const columns of [80, 81, 80]) resizes.push(Buffer.from(`{"Width":${columns},"Height":24}`));
    await untilTrue(() => seen.length === 3);
    expect(seen).toEqual([80, 81, 80]);
  });

  it('an endless one is not kept', () => {
    const resizes = new Resizes();
    const seen: unknown[] = [];
    resizes.onResize((size) => void seen.push(size));
    for (let count = 0; count < 100; count += 1) resizes.push(Buffer.alloc(1000, '{'));
    resizes.push(Buffer.from('{"Width":3,"Height":4}'));
    expect(seen).toEqual([{ columns: 3, rows: 4 }]);
  });

  it.each([
    ['null'],
    ['[]'],
    ['{}'],
    ['{"Width":1.5,"Height":2}'],
    ['{"Width":70000,"Height":2}'],
    ['{"Width":-1,"Height":2}'],
    ['{'],
  ])('%s is not a size', (text) => {
    expect(parseSize(text)).toBeUndefined();
  });
});
