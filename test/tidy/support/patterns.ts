// Regular expressions taken apart, as far as needed to know which can take exponential time: those that repeat
// something which repeats itself, where one text can be cut into the repeats in more than one way.

/** Unicode has more, but classes of ours differ in these. */
const SAMPLE: readonly string[] = Array.from({ length: 256 }, (_none, code) => String.fromCharCode(code));

interface Atom {
  /** What can be its first character; all of them for a class, a letter or an escape. */
  readonly first: ReadonlySet<string>;
  /** What it may be repeating without a bound when it ends. */
  readonly repeated: ReadonlySet<string>;
  /** It can match nothing. */
  readonly canBeEmpty: boolean;
}

const NOTHING: Atom = { first: new Set(), repeated: new Set(), canBeEmpty: true };
const joined = (a: ReadonlySet<string>, b: ReadonlySet<string>): ReadonlySet<string> => new Set([...a, ...b]);
const meet = (a: ReadonlySet<string>, b: ReadonlySet<string>): boolean => [...a].some((one) => b.has(one));

/**
 * Why the pattern can take exponential time, or undefined. Errs on the side of a warning: a mark between the repeats
 * settles it.
 */
export function ambiguity(pattern: string, flags: string): string | undefined {
  const reader = new Reader(pattern, flags);
  reader.alternatives();
  return reader.warning;
}

class Reader {
  warning: string | undefined;
  readonly #text: string;
  readonly #flags: string;
  #at = 0;

  constructor(text: string, flags: string) {
    this.#text = text;
    this.#flags = flags;
  }

  /** Up to the end, or to the bracket that closes the group. */
  alternatives(): Atom {
    let all = this.#sequence();
    while (this.#text[this.#at] === '|') {
      this.#at += 1;
      const next = this.#sequence();
      all = {
        first: joined(all.first, next.first),
        repeated: joined(all.repeated, next.repeated),
        canBeEmpty: all.canBeEmpty || next.canBeEmpty,
      };
    }
    return all;
  }

  #sequence(): Atom {
    let whole = NOTHING;
    while (this.#at < this.#text.length && this.#text[this.#at] !== '|' && this.#text[this.#at] !== ')') {
      const from = this.#at;
      const atom = this.#quantified(this.#atom(), from);
      whole = {
        first: whole.canBeEmpty ? joined(whole.first, atom.first) : whole.first,
        // a character that is not in the repeated set ends it for good
        repeated:
          atom.canBeEmpty || meet(whole.repeated, atom.first)
            ? joined(whole.repeated, atom.repeated)
            : atom.repeated,
        canBeEmpty: whole.canBeEmpty && atom.canBeEmpty,
      };
    }
    return whole;
  }

  #quantified(atom: Atom, from: number): Atom {
    const [all, least, most] = /^(?:[*+?]|\{(\d+)(,?\d*)\})\??/u.exec(this.#text.slice(this.#at)) ?? [];
    if (all === undefined) return atom;
    this.#at += all.length;
    const isUnbounded = all.startsWith('*') || all.startsWith('+') || most === ',';
    const canBeEmpty = atom.canBeEmpty || all.startsWith('*') || all.startsWith('?') || least === '0';
    if (!isUnbounded) return { ...atom, canBeEmpty };
    // the next repeat could begin within what the last one repeats: two ways for one text
    if (meet(atom.repeated, atom.first)) this.warning ??= this.#text.slice(from, this.#at);
    return { first: atom.first, repeated: joined(atom.repeated, atom.first), canBeEmpty };
  }

  #atom(): Atom {
    const rest = this.#text.slice(this.#at);
    const around = /^(?:\^|\$|\\[bB])/u.exec(rest)?.[0];
    if (around !== undefined) {
      this.#at += around.length;
      return NOTHING;
    }
    const opening = /^\((?:\?(?:[:=!]|<[=!]|<\w+>))?/u.exec(rest)?.[0];
    if (opening !== undefined) {
      this.#at += opening.length;
      const inner = this.alternatives();
      this.#at += 1;
      return /[=!]$/u.test(opening) ? NOTHING : inner;
    }
    const reference = /^\\(?:[1-9]|k<\w+>)/u.exec(rest)?.[0];
    if (reference !== undefined) {
      this.#at += reference.length;
      return { first: new Set(SAMPLE), repeated: new Set(), canBeEmpty: true };
    }
    const one =
      /^(?:\[(?:\\.|[^\]\\])*\]|\\u\{[0-9A-Fa-f]+\}|\\u[0-9A-Fa-f]{4}|\\x[0-9A-Fa-f]{2}|\\[pP]\{[^}]*\}|\\.|[\s\S])/u.exec(
        rest,
      )?.[0] ?? '';
    this.#at += one.length;
    const single = new RegExp(`^${one}$`, this.#flags.replaceAll(/[gy]/gu, ''));
    return {
      first: new Set(SAMPLE.filter((letter) => single.test(letter))),
      repeated: new Set(),
      canBeEmpty: false,
    };
  }
}
