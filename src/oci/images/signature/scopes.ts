/** Names under which a policy or registries.d may speak of an image, the most specific first. Pure. */
import { formatReference, repositoryOf, type ImageReference } from '../model/reference.ts';
import type { Policy, Requirement } from './policy.ts';

/**
 * The reference itself, its repository, each beginning of that up to the host, then `*.` with each domain above the host,
 * whose port does not count there (containers-policy.json(5), "docker:").
 */
export function scopesOf(reference: ImageReference): readonly string[] {
  const scopes = [formatReference(reference)];
  const parts = repositoryOf(reference).split('/');
  for (let length = parts.length; length > 0; length -= 1) scopes.push(parts.slice(0, length).join('/'));
  const labels = reference.host.replace(/:[0-9]+$/u, '').split('.');
  for (let at = 1; at < labels.length; at += 1) scopes.push(`*.${labels.slice(at).join('.')}`);
  return scopes;
}

/** All of these have to be met. */
export function requirementsFor(policy: Policy, reference: ImageReference): readonly Requirement[] {
  for (const scope of [...scopesOf(reference), '']) {
    const found = policy.scopes.get(scope);
    if (found !== undefined) return found;
  }
  return policy.default;
}
