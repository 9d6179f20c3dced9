/** What support bundles and dumps leave out: words that a program may have quoted from a container. Pure. */

/** Keys whose texts are a program's words, such as runc's, which quote commands and paths of the container (S91). */
const QUOTING: ReadonlySet<string> = new Set(['fault', 'on']);
/** Of an argv this many words say what runs: the program and its verb. */
const SHOWN_WORDS = 2;

/** The text up to its first quotation mark or path. */
export function beforeQuote(text: string): string {
  return text.replace(/["'`/].*$/su, '…');
}

/** The JSON text without them: a text ends before its first quotation mark or path, an argv after its verb. */
export function withoutQuotes(json: string): string {
  const shown = JSON.parse(json, (key, value: unknown) => {
    if (typeof value === 'string' && QUOTING.has(key)) return beforeQuote(value);
    return key === 'argv' && Array.isArray(value) ? value.slice(0, SHOWN_WORDS) : value;
  }) as unknown;
  return `${JSON.stringify(shown, null, 2)}\n`;
}
