/**
 * The HTTP client of the registry client. It enforces which hosts may be contacted and how, where a redirect may lead,
 * and all timeouts. It does not read the environment, so NODE_TLS_REJECT_UNAUTHORIZED and proxy variables have no
 * effect (S81).
 */
import { lookup as dnsLookup, type LookupAddress, type LookupOptions } from 'node:dns';
import * as http from 'node:http';
import * as https from 'node:https';
import type { LookupFunction } from 'node:net';
import type { Duplex } from 'node:stream';
import type { SecureContext } from 'node:tls';
import { isDeepStrictEqual } from 'node:util';
import { distributionLimits } from '../bounds.ts';
import type { ClockPort } from '../../../ports/clock.ts';
import { Body } from './body.ts';
import { exchange } from './exchange.ts';
import { addressIsPrivateToHost, hostnameOf } from './host-policy.ts';
import { parseNoProxy, type NoProxy } from './no-proxy.ts';
import { cancelled } from './retry.ts';
import { TransportError } from './transport-error.ts';
import { TunnelAgent, type TunnelOptions } from './tunnel-agent.ts';

export interface Timeouts {
  /** Until the connection is established, including TLS. */
  readonly connectMs: number;
  /** From the connection to the response's headers. */
  readonly headersMs: number;
  /** Period over which a body must keep `distributionLimits.leastBytesPerSecond`. */
  readonly stallMs: number;
  /** For the whole body of a small document. */
  readonly documentMs: number;
}

/** What the operator's configuration allows for one endpoint. Hosts are `host[:port]` as `URL.host` writes them. */
export interface EndpointPolicy {
  /** Whether plain http and unverified TLS are allowed. */
  isInsecure(host: string): boolean;
  /** Whether the host may have a loopback or link-local address, because the operator configured it (S80). */
  mayBeLocal(url: URL): boolean;
}

export interface HttpRequest {
  readonly method: 'GET' | 'POST';
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  /** Sent only to the origin of `url`, never after a redirect to another origin. */
  readonly authorization: string | undefined;
  readonly body?: string;
  readonly policy: EndpointPolicy;
  /** `host[:port]` of the registry for which this is asked, as its reference has it; undefined for none. */
  readonly registry?: string;
  readonly signal: AbortSignal;
  /** Start of messages. */
  readonly attempted: string;
}

export interface HttpResponse {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly challenges: readonly string[];
  /** Whether another origin than the requested one answered: its challenges must not be answered. */
  readonly isForeign: boolean;
  /** The host that answered. */
  readonly host: string;
  readonly body: Body;
}

/** URLs of proxies by the URL that is asked, empty for none; `NO_PROXY` as in no-proxy.ts. */
export interface Proxies {
  readonly HTTP_PROXY?: string;
  readonly HTTPS_PROXY?: string;
  readonly NO_PROXY?: string;
}

export interface TransportOptions {
  readonly clock: ClockPort;
  readonly timeouts: Timeouts;
  /** The TLS context for a `host[:port]`; undefined to use the default authorities only. */
  readonly certificates?: (host: string) => Promise<SecureContext | undefined>;
  /** The TLS context for hosts without one to which this registry leads; undefined as above. */
  readonly authorities?: (registry: string) => Promise<SecureContext | undefined>;
  /** Called for each request; undefined for none. */
  readonly proxy?: () => Proxies | undefined;
  /** Replaces the resolver in tests. */
  readonly lookup?: typeof dnsLookup;
  /** Send every request to this Unix socket, whatever its host: plain http, no proxy. */
  readonly socketPath?: string;
}

/** How one request of a chain of redirects is sent. */
interface Hop {
  /** Whether TLS is not verified. */
  readonly insecure: boolean;
  readonly authorization: string | undefined;
  readonly tls: HopTls;
}

/** How a host is verified by TLS. */
interface HopTls {
  readonly secureContext: SecureContext | undefined;
  /** The registry whose authorities these are; '' if they are the host's own. */
  readonly lentBy: string;
}

const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);

export class Transport {
  readonly #options: TransportOptions;
  readonly #agents = new Map<string, http.Agent>();
  /** The proxies of these pools. */
  #proxy: Proxies | undefined;
  /** Whom these proxies are not asked for. */
  #noProxy: NoProxy = parseNoProxy('');
  /** Pools of the proxies before these; their requests under way go on. */
  #earlier: readonly http.Agent[] = [];

  constructor(options: TransportOptions) {
    this.#options = options;
  }

  /** Closes all sockets, including busy ones. */
  close(): void {
    for (const agent of [...this.#earlier, ...this.#agents.values()]) agent.destroy();
    this.#agents.clear();
  }

  /** Other proxies get other pools. A download through those of two changes ago is interrupted and resumed. */
  #takeProxy(): void {
    const proxy = this.#options.proxy?.();
    if (isDeepStrictEqual(proxy, this.#proxy)) return;
    for (const agent of this.#earlier) agent.destroy();
    this.#earlier = [...this.#agents.values()];
    this.#agents.clear();
    this.#proxy = proxy;
    this.#noProxy = parseNoProxy(proxy?.NO_PROXY ?? '');
  }

  /** The proxy for a URL, in the form of `http.Agent`; undefined for none. */
  #proxyFor(url: URL): http.ProxyEnv | undefined {
    this.#takeProxy();
    const variable = url.protocol === 'https:' ? 'HTTPS_PROXY' : 'HTTP_PROXY';
    const proxy = this.#proxy?.[variable] ?? '';
    if (proxy === '' || this.#options.socketPath !== undefined || this.#noProxy(url)) return undefined;
    return { [variable]: proxy };
  }

  /**
   * Sends one request and follows its redirects. The caller must read or discard the body of the response.
   * @throws TransportError, or the FaultError of the aborted signal
   */
  async send(request: HttpRequest): Promise<HttpResponse> {
    let { url, authorization } = request;
    for (let hop = 0; hop <= distributionLimits.redirects; hop += 1) {
      const insecure = this.#checkUrl(url, request.policy);
      const tls = await this.#tlsOf(url, request.registry);
      const message = await this.#once(url, { insecure, authorization, tls }, request).catch(
        (error: unknown) => {
          const isLater = hop > 0 && error instanceof TransportError && error.phase === 'connect';
          throw isLater ? new TransportError('redirect', error.message) : error;
        },
      );
      const location = message.headers.location;
      if (request.method !== 'GET' || location === undefined || !REDIRECTS.has(message.statusCode ?? 0)) {
        return {
          status: message.statusCode ?? 0,
          headers: message.headers,
          challenges: message.headersDistinct['www-authenticate'] ?? [],
          isForeign: url.origin !== request.url.origin,
          host: url.host,
          body: new Body(
            message,
            url.host,
            this.#options.clock,
            this.#options.timeouts,
            request.signal,
            request.attempted,
          ),
        };
      }
      message.destroy();
      const next = redirectTarget(location, url);
      if (next.origin !== url.origin) authorization = undefined;
      url = next;
    }
    throw new TransportError('policy', `${url.host}: more than ${distributionLimits.redirects} redirects`);
  }

  async #tlsOf(url: URL, registry: string | undefined): Promise<HopTls> {
    const none = { secureContext: undefined, lentBy: '' };
    if (url.protocol !== 'https:') return none;
    const isOwn = registry !== undefined && new URL(`https://${registry}/`).host === url.host;
    const secureContext = await this.#options.certificates?.(isOwn ? registry : url.host);
    if (secureContext !== undefined || registry === undefined || isOwn) return { ...none, secureContext };
    const lent = await this.#options.authorities?.(registry);
    return lent === undefined ? none : { secureContext: lent, lentBy: registry };
  }

  /** Returns whether the host is insecure. Throws if the URL must not be requested at all. */
  #checkUrl(url: URL, policy: EndpointPolicy): boolean {
    const insecure = policy.isInsecure(url.host);
    if (url.protocol !== 'https:' && url.protocol !== 'http:') {
      throw new TransportError('policy', `the URL scheme ${url.protocol} is not supported`);
    }
    if (url.protocol === 'http:' && !insecure) {
      throw new TransportError(
        'policy',
        `${url.host}: plain http is refused, since the host is not configured as insecure`,
      );
    }
    if (url.username !== '' || url.password !== '') {
      throw new TransportError('policy', `${url.host}: a URL with credentials in it is refused`);
    }
    const name = hostnameOf(url);
    if (addressIsPrivateToHost(name) && !policy.mayBeLocal(url)) throw localAddress(url.host, name);
    return insecure;
  }

  async #once(
    url: URL,
    { insecure, authorization, tls }: Hop,
    request: HttpRequest,
  ): Promise<http.IncomingMessage> {
    const { signal } = request;
    if (signal.aborted) throw cancelled(signal, request.attempted);
    const isTls = url.protocol === 'https:';
    const agent = this.#agent(url, insecure, tls.lentBy, request.policy);
    const isTunnel = agent instanceof TunnelAgent;
    let opening: Duplex | undefined;
    const options: TunnelOptions = {
      method: request.method,
      headers: {
        // the bytes are hashed as received; a compressing proxy would change them
        'accept-encoding': 'identity',
        // common rules of web application firewalls answer 403 to a request without one
        'user-agent': 'troupe',
        ...request.headers,
        ...(authorization === undefined ? {} : { authorization }),
        ...(request.body === undefined ? {} : { 'content-length': String(Buffer.byteLength(request.body)) }),
      },
      agent,
      ...(isTunnel ? { onOpening: (socket: Duplex) => void (opening = socket) } : {}),
      ...(this.#options.socketPath === undefined ? {} : { socketPath: this.#options.socketPath }),
      ...(tls.secureContext === undefined ? {} : { secureContext: tls.secureContext }),
    };
    const { clock, timeouts } = this.#options;
    return exchange(isTls ? https.request(url, options) : http.request(url, options), {
      host: url.host,
      request,
      clock,
      timeouts,
      ...(isTunnel ? { closeTunnel: () => void opening?.destroy() } : {}),
    });
  }

  /**
   * One pool per kind of connection: a verified request must never use a socket that was not verified, or by another
   * registry's authorities, nor one to a host in NO_PROXY a socket to the proxy. Only registries that the operator has
   * given authorities lend them, so that their number is limited.
   */
  #agent(url: URL, insecure: boolean, lentBy: string, policy: EndpointPolicy): http.Agent {
    const isTls = url.protocol === 'https:';
    const proxyEnv = this.#proxyFor(url);
    const named = policy.mayBeLocal(url);
    const kind = [
      isTls ? 'https' : 'http',
      insecure ? 'insecure' : 'verified',
      named ? 'configured' : 'other',
      proxyEnv === undefined ? 'direct' : 'proxied',
      lentBy,
    ];
    const key = kind.join(' ');
    let agent = this.#agents.get(key);
    if (agent === undefined) {
      const bounds = {
        keepAlive: true,
        maxSockets: distributionLimits.socketsPerHost,
        maxTotalSockets: distributionLimits.sockets,
        maxFreeSockets: distributionLimits.idleSocketsPerHost,
        timeout: distributionLimits.idleSocketMs,
        lookup: named ? this.#lookup() : guardedLookup(this.#lookup()),
      };
      const tls = { rejectUnauthorized: !insecure, minVersion: 'TLSv1.2' } as const;
      if (!isTls) agent = new http.Agent(proxyEnv === undefined ? bounds : { ...bounds, proxyEnv });
      else if (proxyEnv === undefined) agent = new https.Agent({ ...bounds, ...tls });
      else agent = new TunnelAgent({ ...bounds, ...tls, proxyEnv });
      this.#agents.set(key, agent);
    }
    return agent;
  }

  #lookup(): typeof dnsLookup {
    return this.#options.lookup ?? dnsLookup;
  }
}

function redirectTarget(location: string, from: URL): URL {
  let next: URL;
  try {
    next = new URL(location, from);
  } catch {
    throw new TransportError('policy', `${from.host}: redirect to an invalid URL`);
  }
  if (from.protocol === 'https:' && next.protocol === 'http:') {
    throw new TransportError(
      'policy',
      `${from.host}: redirect from https to plain http at ${next.host} is refused`,
    );
  }
  return next;
}

/** Refuses names that resolve to local addresses: a registry must not direct our requests there (S80). */
function guardedLookup(lookup: typeof dnsLookup): LookupFunction {
  return (hostname, options: LookupOptions, callback) => {
    lookup(hostname, { ...options, all: true }, (error, addresses: LookupAddress[]) => {
      const first = addresses?.[0];
      if (error !== null || first === undefined) {
        callback(error ?? new TransportError('connect', `${hostname}: no address`), '', 0);
        return;
      }
      const local = addresses.find((entry) => addressIsPrivateToHost(entry.address));
      if (local !== undefined) callback(localAddress(hostname, local.address), '', 0);
      else if (options.all === true) callback(null, addresses);
      else callback(null, first.address, first.family);
    });
  };
}

function localAddress(host: string, address: string): TransportError {
  return new TransportError(
    'policy',
    `${host}: ${address} is a loopback, link-local or metadata address, to which registries may not refer`,
  );
}
