/** The streaming server, by the configuration. */
import { isIP } from 'node:net';
import { hostname } from 'node:os';
import { fail } from '../../base/fault.ts';
import type { Log } from '../../base/log.ts';
import { AF_INET, AF_INET6 } from '../../host/ffi/constants.ts';
import { closeFd } from '../../host/io/descriptors.ts';
import { whyNotListening } from '../../host/io/listening.ts';
import { launchLimits, takeOverLimits } from '../bounds.ts';
import { startStreaming } from '../../cri/streaming/server.ts';
import type { StreamingServer, UrlIssuer } from '../../cri/streaming/server.ts';
import { TokenTable } from '../../cri/streaming/tokens.ts';
import type { HandedToken } from '../../cri/streaming/tokens.ts';
import { pause } from '../../host/clock/wait.ts';
import type { TlsFiles } from '../../cri/streaming/tls.ts';
import type { Assembly } from './assemble.ts';
import { defaultConfig } from '../config/config-schema.ts';
import type { Config, ConfigNow } from '../config/config-schema.ts';
import type { ListeningOptions, ListeningSockets } from './listening-sockets.ts';
import { LatePart } from './optional-part.ts';

export interface Streams extends UrlIssuer {
  /** Begins to serve, unless a request for a URL has begun it. Settles within the bound of a part of the start. */
  start(): Promise<void>;
  /** What it serves now; undefined before it does. */
  readonly server: StreamingServer | undefined;
  /** For a daemon that takes over: stops accepting, and gives unused URLs away. */
  yieldTo(): Promise<readonly HandedToken[]>;
  /** Reads the certificates of another configuration; the returned function uses them. Rejects if a file is bad. */
  prepare(fresh: Config): Promise<() => void>;
  /** Open sessions. */
  readonly sessions: number;
  close(): Promise<void>;
}

/**
 * The server of exec, attach and port-forward, which is not started here. A taken port or an unreadable certificate
 * does not end the start: it is reported, and tried again with each request for a URL and periodically.
 */
export function lateStreams(
  now: ConfigNow,
  assembly: Assembly,
  sockets: ListeningSockets,
  handed: readonly HandedToken[],
): Streams {
  const {
    ports: { clock, random },
    observability: { conditions },
  } = assembly;
  const tokens = new TokenTable(clock, random);
  tokens.takeOver(handed);
  const server = new LatePart(
    { clock, conditions },
    'streaming server',
    () => startStreams(now, assembly, sockets, tokens),
    {
      againMs: launchLimits.partAgainMs,
    },
  );
  return {
    get server() {
      return server.value;
    },
    yieldTo: async () => {
      const serving = server.value;
      if (serving === undefined) return tokens.handOver();
      serving.release();
      // a connection that was accepted here brings its token here
      const untilMs = clock.monoMs() + takeOverLimits.upgradeMs;
      while (serving.counts.pending > 0 && clock.monoMs() < untilMs)
        await pause(clock, takeOverLimits.pollMs);
      return tokens.handOver();
    },
    start: () => server.start(),
    urlFor: async (request) => (await server.now()).urlFor(request),
    // a server that does not serve yet reads them when it starts
    get sessions() {
      return server.value?.counts.sessions ?? 0;
    },
    prepare: async (fresh) => (await server.value?.prepareTls(tlsOf(fresh))) ?? (() => undefined),
    close: () => server.close(),
  };
}

/** Throws `invalidRequest` for an invalid address, and for a certificate without its key. */
export function checkStreaming({ streaming }: Config): void {
  const address = addressOf(streaming);
  if (isIP(address) === 0)
    fail('invalidRequest', `use streaming.address ${address}: not an address`, {
      subject: 'streaming.address',
    });
  const { tls_cert: cert, tls_key: key, tls_client_ca: clientCa } = streaming;
  if ((cert === '') !== (key === '') || (cert === '' && clientCa !== '')) {
    fail(
      'invalidRequest',
      'use streaming.tls_cert, tls_key, tls_client_ca: set both a certificate and its key',
      { subject: 'streaming.tls_cert' },
    );
  }
}

const addressOf = ({ address }: Config['streaming']): string => address || defaultConfig.streaming.address;

function tlsOf({ streaming }: Config): TlsFiles | undefined {
  const { tls_cert: cert, tls_key: key, tls_client_ca: clientCa } = streaming;
  return cert === '' ? undefined : { cert, key, clientCa };
}

async function startStreams(
  now: ConfigNow,
  { ports, troupe, streams }: Assembly,
  sockets: ListeningSockets,
  tokens: TokenTable,
): Promise<StreamingServer> {
  const { clock, log } = ports;
  const { streaming } = now();
  const server = await startStreaming({
    directory: troupe.directory,
    activity: troupe.activity,
    streams,
    clock,
    log,
    tokens,
    address: addressOf(streaming),
    port: streaming.port,
    ...tcpOnly(sockets.optionsFor('streaming'), log),
    tls: tlsOf(now()),
    allowedHosts: () => [hostname().toLowerCase(), ...now().streaming.allowed_hosts],
  });
  // a reload may have come meanwhile
  const useLatest = await server.prepareTls(tlsOf(now()));
  useLatest();
  return server;
}

/** Closes what is not a listening TCP socket; whether it has the configured address and port is checked later. */
function tcpOnly(options: ListeningOptions, log: Log): ListeningOptions {
  const given = options.given.filter((fd) => {
    const reason = whyNotListening(fd, [AF_INET, AF_INET6]);
    if (reason === undefined) return true;
    log.warn({ reason }, 'descriptor for streams is not used');
    closeFd(fd);
    return false;
  });
  return { ...options, given };
}
