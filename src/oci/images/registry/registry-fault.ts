/**
 * Turns a registry's refusal into a Fault. The kubelet recognises `RegistryUnavailable:` at the start of a message
 * (ErrRegistryUnavailable of cri-api), but only if the gRPC code is Unknown, so the kind is `outside`.
 */
import { fail, printable, type FaultKind } from '../../../base/fault.ts';
import { distributionLimits } from '../bounds.ts';
import { JsonError, parseStrictJson } from '../../documents/strict-json.ts';
import { isTransient } from './retry.ts';
import { TransportError } from './transport-error.ts';
import type { HttpResponse } from './transport.ts';

const PREFIX = 'RegistryUnavailable: ';

/** Throws the Fault for a registry that cannot be reached, breaks the connection or is overloaded. */
export function unavailable(attempted: string, reason: string): never {
  const message = `${attempted}: ${reason}`;
  return fail('outside', message.startsWith(PREFIX) ? message : `${PREFIX}${message}`, { retryable: true });
}

/**
 * Throws the Fault of a status that is not a success, with the registry's message from the body, cut to a bound.
 * @param hint appended if access was denied; '' for none
 */
export async function faultOfStatus(
  response: HttpResponse,
  attempted: string,
  redact: (text: string) => string,
  hint = '',
): Promise<never> {
  // redact before cutting: only a complete secret is recognised
  const said = printable(redact(await wordsOf(response)))
    .slice(0, distributionLimits.errorChars)
    .toWellFormed();
  const reason = `${response.host} answered ${response.status}${said === '' ? '' : ` (${said})`}`;
  if (isTransient(response.status)) return unavailable(attempted, reason);
  const kind = kindOf(response.status);
  return fail(kind, `${attempted}: ${reason}${kind === 'denied' && hint !== '' ? `; ${hint}` : ''}`);
}

function kindOf(status: number): FaultKind {
  if (status === 401 || status === 403) return 'denied';
  return status === 404 ? 'notFound' : 'outside';
}

/** Code and message of the first error of the distribution spec's error body, or ''. */
async function wordsOf(response: HttpResponse): Promise<string> {
  try {
    const reply = parseStrictJson(await response.body.whole(distributionLimits.errorBytes));
    const errors: unknown = reply instanceof Map ? reply.get('errors') : undefined;
    const first: unknown = Array.isArray(errors) ? errors[0] : undefined;
    if (!(first instanceof Map)) return '';
    const words = ['code', 'message']
      .map((name): unknown => first.get(name))
      .filter((word) => typeof word === 'string');
    return words.join(': ');
  } catch (error) {
    // the body is optional information; the status is enough
    if (error instanceof JsonError || error instanceof TransportError) return '';
    throw error;
  }
}
