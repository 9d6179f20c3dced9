/** Randomness as actors and drivers see it. */
export interface RandomPort {
  /** 64 lower-case hex digits, unique. */
  id(): string;
  /** `bytes` random bytes in lower-case hex. */
  token(bytes: number): string;
}
