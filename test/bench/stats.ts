// Quantiles and ratios. On a machine shared with others only medians of pairs measured side by side can be trusted.

/** The q-quantile by nearest rank (q from 0 to 1); NaN of nothing. */
export function quantile(values: readonly number[], q: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(q * sorted.length) - 1))] ?? Number.NaN;
}

export const median = (values: readonly number[]): number => quantile(values, 0.5);

/** Median of a[i] / b[i]: each pair was measured one right after the other. */
export function medianRatio(a: readonly number[], b: readonly number[]): number {
  return median(a.slice(0, b.length).map((value, index) => value / (b[index] ?? Number.NaN)));
}

/** `12.3`; a dash where nothing was measured. */
export const ms = (value: number): string => (Number.isNaN(value) ? '–' : value.toFixed(1));
