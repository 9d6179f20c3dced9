/** The form that a value of the configuration must have. */
export type Rule =
  | { readonly is: 'path' | 'optionalPath' | 'text' }
  | { readonly is: 'oneOf'; readonly values: readonly string[] }
  | { readonly is: 'paths' }
  | { readonly is: 'yesOrNo' }
  /** A whole number of milliseconds, from 1 on. */
  | { readonly is: 'milliseconds'; readonly most: number }
  /** A whole number from 1 on. */
  | { readonly is: 'count'; readonly most: number }
  /** A list of texts of this form. */
  | { readonly is: 'words'; readonly form: RegExp; readonly must: string }
  /** A table of texts under any names. */
  | { readonly is: 'texts' }
  /** A list of lower-case host names. */
  | { readonly is: 'hosts' }
  /** A whole number from 0 to 65535. */
  | { readonly is: 'port' }
  /** A whole number from `least` on, which is 0 if left out, or `unlimited`. */
  | { readonly is: 'limit'; readonly least?: number }
  /** A text of this form, or empty. */
  | { readonly is: 'optionalForm'; readonly form: RegExp; readonly must: string }
  /** A URL that may hold a password, or empty; it becomes a `SecretUrl`. */
  | { readonly is: 'secretUrl'; readonly form: RegExp; readonly must: string }
  | { readonly is: 'table'; readonly keys: Readonly<Record<string, Rule>> }
  /** A table of tables under any names that match `name`; an entry with an error is ignored as a whole. */
  | {
      readonly is: 'named';
      readonly each: Readonly<Record<string, Rule>>;
      readonly name: RegExp;
      /** Each entry has every key. */ readonly isWhole?: boolean;
    };
