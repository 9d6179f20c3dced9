import type { StateValue } from 'xstate';

/** A state value as one readable word: `provisioning.network.adding`, parallel regions in braces. */
export function statePath(value: StateValue): string {
  if (typeof value === 'string') return value;
  const parts = Object.entries(value).map(([key, below]) => {
    if (below === undefined) return key;
    const rest = statePath(below);
    return rest === '' ? key : `${key}.${rest}`;
  });
  return parts.length === 1 ? (parts[0] ?? '') : `{${parts.join(',')}}`;
}
