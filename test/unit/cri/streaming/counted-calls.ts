// Counts the calls of a method, which shows what each piece of a stream costs.

/** Calls of `method`, and of waiters added, while `run` runs. */
export function callsOf<T extends object>(prototype: T, method: keyof T & string, run: () => void): number {
  const original: unknown = Reflect.get(prototype, method);
  if (typeof original !== 'function') throw new Error(`no method ${method}`);
  let calls = 0;
  Reflect.set(prototype, method, function count(this: unknown, ...values: unknown[]): unknown {
    calls += 1;
    return Reflect.apply(original, this, values);
  });
  try {
    run();
  } finally {
    Reflect.set(prototype, method, original);
  }
  return calls;
}

export const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

/** Calls of `method` until what was brought has been read, some turns later. */
export async function callsWhileRead<T extends object>(
  prototype: T,
  method: keyof T & string,
  bring: () => void,
): Promise<number> {
  const original: unknown = Reflect.get(prototype, method);
  if (typeof original !== 'function') throw new Error(`no method ${method}`);
  let calls = 0;
  Reflect.set(prototype, method, function count(this: unknown, ...values: unknown[]): unknown {
    calls += 1;
    return Reflect.apply(original, this, values);
  });
  try {
    bring();
    for (let turns = 0; turns < 10; turns += 1) await turn();
  } finally {
    Reflect.set(prototype, method, original);
  }
  return calls;
}
