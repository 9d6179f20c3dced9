import { isAbsolute } from 'node:path';
import { hostLimits } from '../../../host/bounds.ts';

/** The form that one value must have. */
type ValueRule =
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
  /** A number from 0 to 1. */
  | { readonly is: 'ratio' }
  /** A whole number from `least` on, which is 0 if left out, or `unlimited`. */
  | { readonly is: 'limit'; readonly least?: number }
  /** A text of this form, or empty. */
  | { readonly is: 'optionalForm'; readonly form: RegExp; readonly must: string }
  /** A text that the function accepts: it returns why a text can't be used, else undefined. */
  | { readonly is: 'judged'; readonly judge: (text: string) => string | undefined }
  /** A URL that may hold a password, or empty; it becomes a `SecretUrl`. */
  | { readonly is: 'secretUrl'; readonly form: RegExp; readonly must: string };

interface TableRule {
  readonly is: 'table';
  readonly keys: ConfigKeys;
}

/** A table of tables under any names that match `name`; an entry with an error is ignored as a whole. */
interface NamedRule {
  readonly is: 'named';
  readonly each: Readonly<Record<string, Rule>>;
  readonly name: RegExp;
  /** Each entry has every key. */
  readonly isWhole?: boolean;
}

/** The form that a value of the configuration must have. */
export type Rule = ValueRule | TableRule | NamedRule;

/** Whether a change takes effect at a reload; otherwise at the next start. */
interface ReloadMark {
  readonly reload: boolean;
}

/** A key of the configuration; a table of named tables takes effect as a whole. */
export type ConfigKey = TableRule | ((ValueRule | NamedRule) & ReloadMark);

/** The keys of a table, by name. */
export type ConfigKeys = Readonly<Record<string, ConfigKey>>;

/** Whether it is an absolute path. One with a NUL, which TOML can write, would end each start anew (not by 78). */
export const isPath = (text: string): boolean => isAbsolute(text) && !text.includes('\0');

/** Why a path can't be that of a socket of ours; undefined if it can. */
export function socketRefusal(path: string): string | undefined {
  if (!isPath(path)) return 'must be an absolute path';
  const [bytes, most] = [Buffer.byteLength(path), hostLimits.privateSocketPathBytes];
  return bytes <= most
    ? undefined
    : `must have at most ${most} bytes as the path of a socket, and has ${bytes}`;
}

/** The path of a Unix socket. */
export const socketRule: ValueRule = { is: 'judged', judge: socketRefusal };

/** The path of a Unix socket, or empty. */
export const optionalSocketRule: ValueRule = {
  is: 'judged',
  judge: (text) => (text === '' ? undefined : socketRefusal(text)),
};

const judgeProgram = (text: string): string | undefined =>
  isPath(text) || /^[^/\0]+$/u.test(text)
    ? undefined
    : 'must be an absolute path, or the name of a program in the usual directories';

/** A program by its path, or by its name in the directories of find-program.ts. */
export const programRule: ValueRule = { is: 'judged', judge: judgeProgram };

/** The same, or empty. */
export const optionalProgramRule: ValueRule = {
  is: 'judged',
  judge: (text) => (text === '' ? undefined : judgeProgram(text)),
};
