/** The scopes by which a policy or registries.d can refer to an image, most specific first. No I/O. */
import { formatReference, repositoryOf, type ImageReference } from '../model/reference.ts';
import type { Policy, Requirement } from './policy.ts';

/**
 * The reference, its repository, each prefix of that down to the host, then `*.` with each parent domain of the host
 * without its port (containers-policy.json(5), "docker:").
 */
export function scopesOf(reference: ImageReference): readonly string[] {
  const scopes = [formatReference(reference)];
  const parts = repositoryOf(reference).split('/');
  for (let length = parts.length; length > 0; length -= 1) scopes.push(parts.slice(0, length).join('/'));
  const labels = reference.host.replace(/:[0-9]+$/u, '').split('.');
  for (let at = 1; at < labels.length; at += 1) scopes.push(`*.${labels.slice(at).join('.')}`);
  return scopes;
}

/** The requirements of the most specific scope of the policy. All of them must be met. */
export function requirementsFor(policy: Policy, reference: ImageReference): readonly Requirement[] {
  for (const scope of [...scopesOf(reference), '']) {
    const found = policy.scopes.get(scope);
    if (found !== undefined) return found;
  }
  return policy.default;
}
