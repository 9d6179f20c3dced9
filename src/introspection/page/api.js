/**
 * Client of the introspection service over the connect protocol: JSON calls, and one stream of envelopes. Read-only.
 */

const SERVICE = '/introspection.v1.Introspection/';
const KEPT = 'troupe.token';
/** Header of an envelope: one byte of flags, four of length (connect protocol, "Enveloped-Message"). */
const HEAD_BYTES = 5;
const END_OF_STREAM = 2;

/** A failed call. `code` is connect's, or `unauthorized`, or `unreachable`. */
export class ApiError extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

/**
 * Moves the token from the address to the session storage of this tab, so that neither a copied address nor the
 * browser's history contains it. Session storage belongs to one origin, port included; a cookie would go to every port
 * of this host.
 */
export function takeToken() {
  const fragment = new URLSearchParams(location.hash.slice(1));
  const given = fragment.get('token') ?? new URLSearchParams(location.search).get('token');
  if (given === null) return;
  keepToken(given);
  fragment.delete('token');
  const rest = fragment.toString();
  history.replaceState(null, '', rest === '' ? location.pathname : `${location.pathname}#${rest}`);
}

export function keepToken(token) {
  sessionStorage.setItem(KEPT, token.trim());
}

export function hasToken() {
  return (sessionStorage.getItem(KEPT) ?? '') !== '';
}

/** The header that every request for data needs. */
export function tokenHeader() {
  return { authorization: `Bearer ${sessionStorage.getItem(KEPT) ?? ''}` };
}

function request(method, type, body, signal) {
  const headers = {
    'content-type': type,
    'connect-protocol-version': '1',
    ...tokenHeader(),
  };
  return fetch(`${SERVICE}${method}`, { method: 'POST', headers, body, signal, cache: 'no-store' }).catch(
    broken,
  );
}

/** One call. Throws ApiError. */
export async function call(method, message, signal) {
  const answer = await request(method, 'application/json', JSON.stringify(message), signal);
  // a daemon that ends may have sent a part of the answer
  if (answer.ok) return answer.json().catch(broken);
  throw await errorOf(answer);
}

function broken(error) {
  throw new ApiError('unreachable', error.message);
}

async function errorOf(answer) {
  const text = await answer.text().catch(broken);
  if (answer.status === 401) return new ApiError('unauthorized', text);
  try {
    const { code, message } = JSON.parse(text);
    return new ApiError(code, message ?? text);
  } catch {
    return new ApiError('unreachable', `${answer.status} ${text}`);
  }
}

/** Yields every change after this number, until the stream ends. Throws ApiError. */
export async function* watch(afterSeq, signal) {
  const answer = await request(
    'Watch',
    'application/connect+json',
    envelope({ afterSeq: String(afterSeq) }),
    signal,
  );
  if (!answer.ok) throw await errorOf(answer);
  for await (const { flags, message } of envelopes(answer.body)) {
    if ((flags & END_OF_STREAM) === 0) yield message;
    else if (message.error !== undefined) throw new ApiError(message.error.code, message.error.message ?? '');
    else return;
  }
}

function envelope(message) {
  const body = new TextEncoder().encode(JSON.stringify(message));
  const bytes = new Uint8Array(HEAD_BYTES + body.length);
  new DataView(bytes.buffer).setUint32(1, body.length);
  bytes.set(body, HEAD_BYTES);
  return bytes;
}

async function* envelopes(stream) {
  const reader = stream.getReader();
  let kept = new Uint8Array(0);
  for (;;) {
    while (kept.length >= HEAD_BYTES) {
      const end = HEAD_BYTES + new DataView(kept.buffer, kept.byteOffset).getUint32(1);
      if (kept.length < end) break;
      yield { flags: kept[0], message: JSON.parse(new TextDecoder().decode(kept.subarray(HEAD_BYTES, end))) };
      kept = kept.subarray(end);
    }
    const { done, value } = await reader.read().catch(broken);
    if (done) return;
    const joined = new Uint8Array(kept.length + value.length);
    joined.set(kept);
    joined.set(value, kept.length);
    kept = joined;
  }
}
