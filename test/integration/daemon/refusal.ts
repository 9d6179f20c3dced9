// What a call of the daemon answers when it refuses.

/** Codes of gRPC. */
export const code = {
  unknown: 2,
  invalidArgument: 3,
  deadlineExceeded: 4,
  notFound: 5,
  alreadyExists: 6,
  failedPrecondition: 9,
  aborted: 10,
  unimplemented: 12,
} as const;

export interface Refusal {
  /** 0 for none. */
  readonly code: number;
  readonly details: string;
}

/** The refusal of a call; code 0 when it is served. */
export const refusalOf = (call: Promise<unknown>): Promise<Refusal> =>
  call.then(
    () => ({ code: 0, details: '' }),
    (thrown: Refusal) => ({ code: thrown.code, details: thrown.details }),
  );
