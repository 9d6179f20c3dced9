/** One endpoint during one pull: its scheme, its token, and the decision which hosts receive which credentials. */
import { Semaphore } from '../../../base/bounded.ts';
import { fail } from '../../../base/fault.ts';
import { distributionLimits } from '../bounds.ts';
import type { ClockPort } from '../../../ports/clock.ts';
import type { RandomPort } from '../../../ports/random.ts';
import { basicHeader, parseTokenReply, secretsOf, type Credentials } from './auth.ts';
import { parseChallenges, type Challenge } from './challenge.ts';
import type { Endpoint } from './endpoints.ts';
import { hostnameOf, isLoopback } from './host-policy.ts';
import { faultOfStatus, unavailable } from './registry-fault.ts';
import { backOff, isTransient, retryAfterMs, waitMs } from './retry.ts';
import { mayRecover, TransportError } from './transport-error.ts';
import type { EndpointPolicy, HttpRequest, HttpResponse, Transport } from './transport.ts';

export interface RegistrySessionOptions {
  readonly endpoint: Endpoint;
  /** The scheme if it is known; otherwise an insecure endpoint is tried with https first. */
  readonly scheme?: 'http';
  /** Credentials for this endpoint only; undefined for anonymous access. */
  readonly credentials: Credentials | undefined;
  /** Other hosts that are configured as insecure. */
  readonly insecureHosts: ReadonlySet<string>;
  readonly transport: Transport;
  readonly clock: ClockPort;
  readonly random: RandomPort;
}

export interface Ask {
  /** Below `/v2/<repository>/`. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
  /** Start of messages: what was attempted on which name. */
  readonly attempted: string;
}

const NOT_ACCEPTED = 'authentication failed: the credentials were not accepted';

export class RegistrySession {
  readonly endpoint: Endpoint;
  readonly #options: RegistrySessionOptions;
  readonly #policy: EndpointPolicy;
  /** Undefined until it is known whether an insecure endpoint supports https. */
  #scheme: 'https' | 'http' | undefined;
  #authorization: string | undefined;
  /** Of `/v2/`; undefined if that was not asked. */
  #rootChallenges: readonly Challenge[] | undefined;
  readonly #secrets: Set<string>;
  /** Why the credentials were not sent to the token service; '' if they were, or if none were needed. */
  #withheld = '';
  // one request for a token at a time: others wait for its result (F62)
  readonly #tokenLock: Semaphore;

  constructor(options: RegistrySessionOptions) {
    this.endpoint = options.endpoint;
    this.#options = options;
    this.#scheme = options.scheme ?? (options.endpoint.insecure ? undefined : 'https');
    this.#policy = policyOf(options);
    this.#secrets = new Set(secretsOf(options.credentials));
    this.#tokenLock = new Semaphore(`token of ${options.endpoint.host}`, 1, distributionLimits.sockets);
    if (options.credentials?.kind === 'bearer') this.#authorization = `Bearer ${options.credentials.token}`;
  }

  /** How often a request is made here before the next endpoint is tried. */
  get attempts(): number {
    return this.endpoint.mirror ? distributionLimits.mirrorAttempts : distributionLimits.attempts;
  }

  /** Replaces every secret of this session in a text of the registry's (S79). */
  redact(text: string): string {
    let clean = text;
    for (const secret of this.#secrets) if (secret !== '') clean = clean.replaceAll(secret, '***');
    return clean;
  }

  /** Throws the Fault of an answer that is not a success. */
  refuse(response: HttpResponse, attempted: string): Promise<never> {
    return faultOfStatus(response, attempted, (text) => this.redact(text), this.#hint(response));
  }

  #hint({ status, isForeign }: HttpResponse): string {
    const isRejected = status === 401 && !isForeign && this.#options.credentials !== undefined;
    return this.#withheld === '' && isRejected ? NOT_ACCEPTED : this.#withheld;
  }

  /**
   * Sends the request and reads its answer. Tries again while the registry is overloaded or the connection breaks.
   * `read` gets an answer with any other status, or the last one.
   */
  ask<T>(ask: Ask, read: (response: HttpResponse) => Promise<T>): Promise<T> {
    return this.#retrying(() => this.askOnce(ask), read, ask);
  }

  async #retrying<T>(
    send: () => Promise<HttpResponse>,
    read: (response: HttpResponse) => Promise<T>,
    { signal, attempted }: Pick<Ask, 'signal' | 'attempted'>,
  ): Promise<T> {
    for (let attempt = 1; ; attempt += 1) {
      const isLast = attempt >= this.attempts;
      let response: HttpResponse | undefined;
      try {
        response = await send();
        if (isLast || !isTransient(response.status)) return await read(response);
      } catch (error) {
        if (isLast || !mayRecover(error)) throw error;
      }
      await backOff(this.#options.clock, this.waitAfter(response, attempt), signal, attempted);
    }
  }

  /** ms to wait after an attempt. Discards the response. */
  waitAfter(response: HttpResponse | undefined, attempt: number): number {
    response?.body.discard();
    const asked = retryAfterMs(response?.headers['retry-after'], this.#options.clock.nowNs());
    return waitMs(attempt, asked, this.#options.random);
  }

  /** Sends one request; after a 401, authenticates and sends it once more. Throws TransportError or FaultError. */
  async askOnce(ask: Ask): Promise<HttpResponse> {
    const sentWith = this.#authorization;
    const response = await this.#request(ask);
    const challenges = await this.#challengesOf(response, ask);
    if (challenges.length === 0) return response;
    response.body.discard();
    await this.#tokenLock.with(async () => {
      // another request may have got a token in the meantime: try that first
      if (this.#authorization === sentWith) this.#authorization = await this.#authenticate(challenges, ask);
    }, ask.signal);
    return this.#request(ask);
  }

  /**
   * How the registry asks for credentials. It need not do so in this answer: some hide what may not be seen without
   * credentials (403, 404), or answer 401 without a challenge. Docker and containers/image take the challenge of
   * `/v2/`.
   */
  async #challengesOf(
    { status, isForeign, challenges }: HttpResponse,
    ask: Ask,
  ): Promise<readonly Challenge[]> {
    // the target of a redirect never gets credentials, even if it asks for them (S16, F64)
    if (isForeign) return [];
    const own = status === 401 ? parseChallenges(challenges) : [];
    const mayHide =
      (status === 403 || status === 404) &&
      this.#options.credentials !== undefined &&
      this.#authorization === undefined;
    if (own.length > 0 || (status !== 401 && !mayHide)) return own;
    this.#rootChallenges ??= await this.#askRoot(ask);
    return this.#rootChallenges;
  }

  async #askRoot(ask: Ask): Promise<readonly Challenge[]> {
    try {
      const url = new URL(`${this.#scheme ?? 'https'}://${this.endpoint.host}/v2/`);
      const { status, isForeign, challenges, body } = await this.#sendTo(url, ask, {});
      body.discard();
      return status === 401 && !isForeign ? parseChallenges(challenges) : [];
    } catch (error) {
      // the first answer counts
      if (error instanceof TransportError) return [];
      throw error;
    }
  }

  async #request(ask: Ask): Promise<HttpResponse> {
    if (this.#scheme !== undefined) return this.#send(this.#scheme, ask);
    try {
      const response = await this.#send('https', ask);
      this.#scheme = 'https';
      return response;
    } catch (error) {
      // no connection, so nothing was sent: try plain http, which the operator allows for this endpoint
      if (!(error instanceof TransportError) || error.phase !== 'connect') throw error;
      const response = await this.#send('http', ask);
      this.#scheme = 'http';
      return response;
    }
  }

  #send(scheme: 'https' | 'http', ask: Ask): Promise<HttpResponse> {
    const { host, repository } = this.endpoint;
    return this.#sendTo(new URL(`${scheme}://${host}/v2/${repository}/${ask.path}`), ask, ask.headers);
  }

  #sendTo(url: URL, ask: Ask, headers: Ask['headers']): Promise<HttpResponse> {
    return this.#options.transport.send({
      method: 'GET',
      url,
      headers,
      authorization: this.#authorization,
      policy: this.#policy,
      registry: this.endpoint.host,
      signal: ask.signal,
      attempted: ask.attempted,
    });
  }

  /** The Authorization header that answers the challenges. Throws `denied` if the credentials do not fit them. */
  async #authenticate(challenges: readonly Challenge[], ask: Ask): Promise<string> {
    const { credentials } = this.#options;
    const host = this.endpoint.host;
    const bearer = challenges.find((challenge) => challenge.scheme === 'bearer');
    if (bearer !== undefined && credentials?.kind !== 'bearer') return this.#fetchToken(bearer, ask);
    if (credentials?.kind === 'basic' && challenges.some((challenge) => challenge.scheme === 'basic')) {
      return basicHeader(credentials.username, credentials.password);
    }
    const reason =
      credentials === undefined
        ? 'authentication required, and no credentials are configured for it'
        : NOT_ACCEPTED;
    return fail('denied', `${ask.attempted}: ${host}: ${reason}`);
  }

  async #fetchToken(challenge: Challenge, ask: Ask): Promise<string> {
    const realm = this.#realmOf(challenge, ask);
    const request = this.#tokenRequest(realm, challenge, ask);
    const attempted = `${ask.attempted}: token from ${realm.host}`;
    const reply = await this.#retrying(
      () => this.#options.transport.send(request),
      async (response) => {
        if (response.status !== 200) await this.refuse(response, attempted);
        return response.body.whole(distributionLimits.tokenReplyBytes);
      },
      { ...ask, attempted },
    ).catch((error: unknown) => {
      // name the token service: the registry itself could be reached
      if (error instanceof TransportError) unavailable(attempted, error.message);
      throw error;
    });
    const token = parseTokenReply(reply);
    if (token === undefined) return fail('denied', `${attempted}: the answer has no usable token`);
    this.#secrets.add(token);
    return `Bearer ${token}`;
  }

  /**
   * The URL of the token service. Throws `denied`, before anything is sent, for one that must not be used (S49, S80).
   */
  #realmOf(challenge: Challenge, ask: Ask): URL {
    const text = challenge.params.get('realm') ?? '';
    const refuse = (reason: string): never =>
      fail('denied', `${ask.attempted}: ${this.endpoint.host} names a token service that ${reason}`);
    if (!URL.canParse(text)) return refuse('is not a URL');
    const realm = new URL(text);
    if (realm.protocol !== 'https:' && realm.protocol !== 'http:')
      refuse(`has the unsupported scheme ${realm.protocol}`);
    if (realm.protocol === 'http:' && this.#scheme !== 'http')
      refuse('uses plain http although the registry uses https');
    return realm;
  }

  #tokenRequest(realm: URL, challenge: Challenge, ask: Ask): HttpRequest {
    // some registries write parameters that they do not use as empty texts
    const service = challenge.params.get('service') || undefined;
    const scope = challenge.params.get('scope')?.trim() || `repository:${this.endpoint.repository}:pull`;
    const isTrusted = this.#mayReceiveCredentials(realm);
    const credentials = isTrusted ? this.#options.credentials : undefined;
    // not an error yet: a public image needs no credentials
    if (!isTrusted && this.#options.credentials !== undefined) {
      this.#withheld = `the credentials for ${this.endpoint.host} were not sent to its token service ${realm.host}, since ${this.#policy.isInsecure(realm.host) ? realm.host : this.endpoint.host} is not verified by TLS`;
    }
    const url = new URL(realm);
    url.hash = '';
    const common = {
      policy: this.#policy,
      registry: this.endpoint.host,
      signal: ask.signal,
      attempted: ask.attempted,
      url,
    };
    if (credentials?.kind === 'identity') {
      const form = new URLSearchParams({
        grant_type: 'refresh_token',
        scope,
        client_id: 'troupe',
        refresh_token: credentials.token,
      });
      if (service !== undefined) form.set('service', service);
      const headers = { 'content-type': 'application/x-www-form-urlencoded' };
      return { ...common, method: 'POST', headers, authorization: undefined, body: form.toString() };
    }
    if (service !== undefined) url.searchParams.set('service', service);
    // RFC 6749 separates scopes by spaces; Docker's token services expect one parameter for each
    url.searchParams.delete('scope');
    for (const one of scope.split(' ').filter((part) => part !== '')) url.searchParams.append('scope', one);
    const authorization =
      credentials?.kind === 'basic' ? basicHeader(credentials.username, credentials.password) : undefined;
    return { ...common, method: 'GET', headers: {}, authorization };
  }

  /**
   * Whether the token service may receive the credentials. It usually has another host than the registry
   * (auth.docker.io). It is trusted if both registry and service are verified by TLS. Without TLS, an attacker on the
   * network could name any service, so only the registry's own origin is trusted (F62).
   */
  #mayReceiveCredentials(realm: URL): boolean {
    const own = new URL(`${this.#scheme ?? 'https'}://${this.endpoint.host}/`);
    if (realm.origin === own.origin) return true;
    return (
      own.protocol === 'https:' &&
      !this.#policy.isInsecure(own.host) &&
      realm.protocol === 'https:' &&
      !this.#policy.isInsecure(realm.host)
    );
  }
}

function policyOf({ endpoint, insecureHosts }: RegistrySessionOptions): EndpointPolicy {
  // URL.host omits the default port
  const own = new URL(`https://${endpoint.host}/`);
  const ownPlain = new URL(`http://${endpoint.host}/`);
  const isOwn = (host: string): boolean => host === own.host || host === ownPlain.host;
  return {
    isInsecure: (host) => (isOwn(host) ? endpoint.insecure : insecureHosts.has(host)),
    mayBeLocal: (url) =>
      hostnameOf(url) === hostnameOf(own) ||
      insecureHosts.has(url.host) ||
      // a registry on loopback is the operator's own, so it may refer to other services on loopback
      (isLoopback(hostnameOf(own)) && isLoopback(hostnameOf(url))),
  };
}
