/** An invariant that does not hold, and where. */
export interface Broken {
  readonly invariant: string;
  readonly detail: string;
}
