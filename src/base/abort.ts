/**
 * Following an AbortSignal for as long as a piece of work takes: no listener stays on the signal when the work has
 * ended.
 */

/**
 * Calls `listener` when the signal aborts, at once if it has already. The result removes the listener; it may be called
 * more than once. Without a signal nothing happens.
 */
export function onAbort(signal: AbortSignal | undefined, listener: () => void): () => void {
  if (signal === undefined) return () => undefined;
  if (signal.aborted) {
    listener();
    return () => undefined;
  }
  signal.addEventListener('abort', listener, { once: true });
  return () => signal.removeEventListener('abort', listener);
}

/**
 * The result of `promise`, or a rejection with the signal's reason if that comes first; the promise then goes on
 * unobserved.
 */
export function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const stop = onAbort(signal, () => {
      reject(signal.reason instanceof Error ? signal.reason : new Error('aborted'));
    });
    promise.then(resolve, reject).finally(stop);
  });
}

/** An AbortController whose signal is made when it is first asked for: most calls end without one. */
export class LazyAbort {
  #controller: AbortController | undefined;
  #aborted: { readonly reason: unknown } | undefined;

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#aborted !== undefined) this.#controller.abort(this.#aborted.reason);
    }
    return this.#controller.signal;
  }

  /** Only the first reason counts. */
  abort(reason: unknown): void {
    this.#aborted ??= { reason };
    this.#controller?.abort(this.#aborted.reason);
  }
}
